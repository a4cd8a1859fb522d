"""Weights of votes and ballots from measured skill: newcomers and guessers count nothing, evidence moves them."""

from math import log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waggle.core.errors import UsageError
from waggle.routing.skills import JUDGE_WEIGHT_CAP, NodeSkills, SkillCount, expected_skill, weigh

relaxed = settings(deadline=None, max_examples=80)
GOOD = {"a": SkillCount(16, 20)}


@st.composite
def counts(draw: st.DrawFn) -> SkillCount:
    asked = draw(st.floats(0, 100))
    return SkillCount(asked * draw(st.floats(0, 1)), asked)


records = st.dictionaries(st.sampled_from("abcd"), counts())


def test_the_worked_skills() -> None:
    assert expected_skill({"a": 1.0}, GOOD, chance=0.5) == pytest.approx(0.75)
    assert expected_skill({"b": 1.0}, GOOD, chance=0.5) == pytest.approx(0.625)
    assert expected_skill({}, {}, chance=0.5) == 0.5


def test_the_worked_weights() -> None:
    weights = weigh({"a": 1.0}, NodeSkills(GOOD, GOOD))
    assert weights.proposer == pytest.approx(2 / 3)
    assert weights.judge == pytest.approx(log(3))


def test_a_newcomer_counts_nothing() -> None:
    weights = weigh({"a": 0.5, "b": 0.5}, NodeSkills())
    assert (weights.proposer, weights.judge) == (0, 0)


def test_a_guesser_and_a_liar_count_nothing_as_judges() -> None:
    for right in (10, 0):
        assert weigh({"a": 1.0}, NodeSkills({}, {"a": SkillCount(right, 20)})).judge == 0


def test_a_guesser_counts_nothing_as_a_proposer() -> None:
    guesser = NodeSkills({"a": SkillCount(5, 20)}, {})
    assert weigh({"a": 1.0}, guesser, proposer_chance=0.25).proposer == pytest.approx(0)
    assert weigh({"a": 1.0}, guesser).proposer > 0.2


def test_an_unsure_kind_counts_as_one_never_tested() -> None:
    skills = NodeSkills(GOOD, GOOD)
    unsure, other = weigh({"a": 1.0}, skills, certainty=0), weigh({"z": 1.0}, skills)
    assert unsure == other
    assert 0 < unsure.judge < weigh({"a": 1.0}, skills).judge
    assert expected_skill({"a": 1.0}, GOOD, chance=0.5, certainty=0.5) == pytest.approx((0.75 + 0.625) / 2)


def test_what_the_probabilities_leave_open_counts_as_no_known_kind() -> None:
    assert expected_skill({"a": 0.4}, GOOD, chance=0.5) == pytest.approx(0.4 * 0.75 + 0.6 * 0.625)


def test_a_judges_weight_is_capped() -> None:
    assert weigh({"a": 1.0}, NodeSkills({}, {"a": SkillCount(1000, 1000)})).judge == JUDGE_WEIGHT_CAP


@pytest.mark.parametrize(("right", "asked"), [(-1, 0), (2, 1), (float("nan"), 1), (1, float("inf")), (0, -1)])
def test_impossible_counts_are_refused(right: float, asked: float) -> None:
    with pytest.raises(ValueError, match="out of those asked"):
        SkillCount(right, asked)


@pytest.mark.parametrize(
    ("kinds", "chance", "certainty"),
    [({"a": 0.7, "b": 0.7}, 0.5, 1), ({"a": -0.1}, 0.5, 1), ({}, 1.0, 1), ({}, -0.1, 1), ({}, 0.5, 1.5)],
)
def test_impossible_probabilities_are_refused(kinds: dict[str, float], chance: float, certainty: float) -> None:
    with pytest.raises(UsageError):
        expected_skill(kinds, GOOD, chance=chance, certainty=certainty)


@relaxed
@given(records, records, st.floats(0, 1), st.floats(0, 0.9))
def test_weights_stay_in_range(
    proposer: dict[str, SkillCount], judge: dict[str, SkillCount], certainty: float, chance: float
) -> None:
    weights = weigh({"a": 0.6, "b": 0.4}, NodeSkills(proposer, judge), certainty=certainty, proposer_chance=chance)
    assert 0 <= weights.proposer <= 1
    assert 0 <= weights.judge <= JUDGE_WEIGHT_CAP
    assert 0 <= weights.proposer_p <= 1


@relaxed
@given(records, counts())
def test_one_more_right_answer_never_lowers_a_weight(record: dict[str, SkillCount], here: SkillCount) -> None:
    before = weigh({"a": 1.0}, NodeSkills({}, record | {"a": here}))
    after = weigh({"a": 1.0}, NodeSkills({}, record | {"a": SkillCount(here.right + 1, here.asked + 1)}))
    assert after.judge >= before.judge - 1e-9
