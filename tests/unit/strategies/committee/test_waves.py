"""In a large committee the first wave of ballots is small; what follows depends on how clear the case is."""

import pytest

from tests.unit.strategies.committee.test_round import Drive, plan, said
from waggle.core.ids import NodeId
from waggle.core.round_effects import AskBallot
from waggle.core.round_values import Standing

CROWD = tuple(Standing(node=NodeId(f"n{index:02}")) for index in range(20))
ANSWERS = ("40", "41", "42", "43")
FIRST = 20 * 2 * 2  # judges x pairs x orders: 3 pairs for each of 4 candidates, times 3 / 20, is 2 for each


def after_proposals(**changes: object) -> Drive:
    """A round of twenty, five for each answer, that has asked for its first ballots."""
    drive = Drive(plan(proposers=CROWD, judges=CROWD, **changes))
    for index, standing in enumerate(CROWD):
        drive.feed(said(standing.node, ANSWERS[index % 4]))
    return drive


def asked_of(drive: Drive) -> list[AskBallot]:
    return [effect for effect in drive.effects if isinstance(effect, AskBallot)]


def pair_of(ask: AskBallot) -> frozenset[str]:
    return frozenset((ask.pair.first_text, ask.pair.second_text))


def test_a_clear_case_is_decided_by_the_first_wave() -> None:
    drive = after_proposals()
    assert len(drive.state.open) == FIRST
    drive.answer_ballots("42", p=0.95)
    assert (drive.outcome.answer, drive.state.wave) == ("42", 1)
    assert drive.outcome.ballots.asked == FIRST


def test_while_the_winner_may_change_there_is_another_wave_and_it_begins_with_the_two_leaders() -> None:
    drive = after_proposals()
    drive.answer_ballots("42", p=0.55)
    assert drive.state.wave > 1
    first, second = asked_of(drive)[:FIRST], asked_of(drive)[FIRST : FIRST + len(CROWD)]
    new = [pair_of(ask) for ask in second]
    leaders = max(set(new), key=new.count)
    assert "42" in leaders
    knew = {ask.judge for ask in first if pair_of(ask) == leaders}
    assert {ask.judge for ask in second if pair_of(ask) == leaders} == {one.node for one in CROWD} - knew


@pytest.mark.parametrize("said_so", [{"pairs_per_judge": 2}, {"both_orders": False}])
def test_who_says_how_to_ask_gets_just_that(said_so: dict[str, object]) -> None:
    drive = after_proposals(**said_so)
    drive.answer_ballots("42", p=0.55)
    assert drive.state.wave == 1


def test_waves_have_an_end() -> None:
    drive = after_proposals(waves=2)
    drive.answer_ballots("42", p=0.501)
    assert drive.state.wave == 2
    assert drive.outcome.reason == "all ballots are in"
