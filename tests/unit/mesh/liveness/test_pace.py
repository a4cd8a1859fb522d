"""Rates: how much of something is allowed."""

from waggle.core.ids import NodeId
from waggle.mesh.liveness.pace import MAX_NODES, Rates

A, B = NodeId("a"), NodeId("b")


def test_a_bucket_gives_its_burst_and_then_its_rate_for_each_node() -> None:
    rates = Rates(per_second=2.0, burst=3.0)
    assert [rates.allow(A, 0.0) for _ in range(4)] == [True, True, True, False]
    assert rates.allow(B, 0.0)
    assert [rates.allow(A, 0.5), rates.allow(A, 0.5)] == [True, False]
    assert sum(rates.allow(A, 0.5 + step * 0.1) for step in range(1, 101)) == 20


def test_the_number_of_nodes_remembered_is_bounded() -> None:
    rates = Rates(per_second=1.0, burst=1.0)
    for number in range(MAX_NODES + 500):
        rates.allow(NodeId(str(number)), 0.0)
    assert len(rates) == MAX_NODES
