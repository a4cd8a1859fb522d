"""Who takes part: the skilled, the different, the idle, the near; and one alone where that will do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waggle.core.ids import NodeId
from waggle.core.round_values import Standing
from waggle.routing.committee import ENOUGH_SKILL, Committee, Option, choose_committee, one_is_enough


def option(
    node: str, model: str = "", skill: float = 0.5, judge: float = 1.0, busy: float = 0.0, away: float = 0.0
) -> Option:
    standing = Standing(node=NodeId(node), model=model or node, skill=skill, judge_weight=judge)
    return Option(standing=standing, busy=busy, round_trip=away)


def choose(options: list[Option], proposers: int = 3, standby: int = 1, judges: int = 3, seed: int = 0) -> Committee:
    rng = np.random.default_rng(seed)
    return choose_committee(options, proposers=proposers, standby=standby, judges=judges, rng=rng)


def names(standings: tuple[Standing, ...]) -> list[str]:
    return [standing.node for standing in standings]


def test_the_skilled_propose_and_the_next_best_stands_by() -> None:
    committee = choose([option(f"n{i}", skill=i / 10) for i in range(10)])
    assert names(committee.proposers) == ["n9", "n8", "n7"]
    assert names(committee.standby) == ["n6"]


def test_a_second_copy_of_a_model_gives_way_to_another_nearly_as_good() -> None:
    copies = [option(f"a{i}", model="a", skill=0.9) for i in range(5)]
    committee = choose([*copies, option("b", skill=0.85), option("c", skill=0.82)])
    assert {standing.model for standing in committee.proposers} == {"a", "b", "c"}


def test_a_second_copy_of_an_expert_is_preferred_to_one_who_cannot_do_it() -> None:
    committee = choose([option("a1", "a", 0.95), option("a2", "a", 0.95), option("b", skill=0.1)], proposers=2)
    assert {standing.model for standing in committee.proposers} == {"a"}


def test_among_equals_the_idle_and_the_near_are_taken() -> None:
    committee = choose([option("busy", "m", busy=4.0), option("far", "m", away=0.4), option("good", "m")], proposers=1)
    assert names(committee.proposers) == ["good"]
    assert names(committee.standby) == ["far"]


def test_equals_take_turns_by_lot() -> None:
    equals = [option(f"n{i}", "m", away=0.001 * i) for i in range(20)]
    chosen = {name for seed in range(60) for name in names(choose(equals, seed=seed).proposers)}
    assert len(chosen) == 20


def test_those_whose_ballots_weigh_most_judge_and_the_weightless_do_not() -> None:
    options = [
        option("a", judge=0.0, skill=0.9),
        option("b", judge=2.0),
        option("c", judge=1.0),
        option("d", judge=3.0),
    ]
    assert names(choose(options, judges=2).judges) == ["d", "b"]
    assert names(choose(options, judges=9).judges) == ["d", "b", "c"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("abc"), st.floats(0, 1)), max_size=30), st.integers(0, 99))
def test_no_node_is_in_it_twice_and_none_is_left_out_needlessly(who: list[tuple[int, str, float]], seed: int) -> None:
    options = [option(f"n{node}", model, skill) for node, model, skill in who]
    committee = choose(options, seed=seed)
    nodes = names(committee.proposers) + names(committee.standby)
    distinct = len({node for node, _, _ in who})
    assert len(nodes) == len(set(nodes)) == min(4, distinct)
    assert len(committee.judges) == len(set(names(committee.judges))) == min(3, distinct)


def skilled(*skills: float) -> list[Standing]:
    return [Standing(node=NodeId(f"n{number}"), skill=skill) for number, skill in enumerate(skills)]


@pytest.mark.parametrize(
    ("nodes", "alone"),
    [
        (skilled(0.91, 0.97, 0.2), "n1"),
        (skilled(ENOUGH_SKILL), "n0"),
        (skilled(ENOUGH_SKILL - 1e-9, 0.5), None),
        (skilled(0.0), None),
        ([Standing(node=NodeId("never measured"))], None),
        ([], None),
    ],
)
def test_the_most_skilled_node_answers_alone_where_it_is_skilled_enough(
    nodes: list[Standing], alone: str | None
) -> None:
    chosen = one_is_enough(nodes)
    assert (chosen and chosen.node) == alone
