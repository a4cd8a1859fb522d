"""Nodes are shown by names that people can tell apart."""

from waggle.core.ids import NodeId, RoundId
from waggle.core.round_values import Plan, Standing
from waggle.node.observing.names import names_of, short_name

PEER = NodeId("12D3KooWLngd4BPj1zBqbWNGyBFaXAnnKbnptT7CX5mMHwY5KAYs")


def test_a_peer_is_called_by_its_model_and_the_end_of_its_id() -> None:
    assert short_name(PEER, "acacia") == "acacia ...Y5KAYs"
    assert short_name(PEER) == "...Y5KAYs"


def test_a_node_of_this_process_keeps_its_name() -> None:
    assert short_name(NodeId("acacia"), "acacia") == "acacia"


def test_everybody_in_a_plan_has_a_name() -> None:
    ann, bob = Standing(node=PEER, model="acacia"), Standing(node=NodeId("bob"))
    plan = Plan(round_id=RoundId("0" * 32), question="?", proposers=(ann,), judges=(ann, bob))
    assert names_of(plan) == {PEER: "acacia ...Y5KAYs", "bob": "bob"}
