"""The gate: when one node is enough."""

import pytest

from waggle.core.ids import NodeId
from waggle.core.round_values import Standing
from waggle.routing.gate import ENOUGH_SKILL, one_is_enough


def standing(node: str, skill: float) -> Standing:
    return Standing(node=NodeId(node), skill=skill)


def test_the_most_skilled_node_answers_alone_where_it_is_skilled_enough() -> None:
    chosen = one_is_enough([standing("ant", 0.91), standing("bee", 0.97), standing("cat", 0.2)])
    assert chosen is not None
    assert chosen.node == "bee"


@pytest.mark.parametrize("skills", [[], [0.0], [ENOUGH_SKILL - 1e-9, 0.5]])
def test_else_the_committee_does(skills: list[float]) -> None:
    assert one_is_enough([standing(str(number), skill) for number, skill in enumerate(skills)]) is None


def test_the_bound_itself_is_enough_and_can_be_set() -> None:
    assert one_is_enough([standing("ant", ENOUGH_SKILL)]) is not None
    assert one_is_enough([standing("ant", 0.6)], enough=0.6) is not None


def test_a_node_that_was_never_measured_is_never_enough() -> None:
    assert one_is_enough([Standing(node=NodeId("ant"))]) is None
