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


def test_nodes_of_a_plan_go_by_their_models_and_by_the_end_of_their_ids_where_those_are_the_same() -> None:
    def named(*parts: tuple[str, str]) -> list[str]:
        standings = tuple(Standing(node=NodeId(node), model=model) for node, model in parts)
        plan = Plan(round_id=RoundId("0" * 32), question="?", proposers=standings[:1], judges=standings)
        return [names_of(plan)[standing.node] for standing in standings]

    other = PEER[:-3] + "abc"
    assert named((PEER, "acacia"), (other, "sage"), ("bob", "")) == ["acacia", "sage", "bob"]
    assert named((PEER, "acacia"), (other, "acacia")) == ["acacia ...Y5KAYs", "acacia ...Y5Kabc"]
    assert named((PEER, ""), ("a", "sage"), ("b", "sage")) == ["...Y5KAYs", "a", "b"]
