"""What a round's view says, beside its pictures."""

import pytest
from msgspec.structs import replace

from waggle.core.ids import NodeId, RoundId
from waggle.core.round_picture import CandidatePicture, Part, Phase, ProposerPicture, RoundPicture
from waggle.core.round_values import Ballot, BallotCount, Outcome, Plan, Proposal
from waggle.dashboard.rounds.ballot_strip import MOST, tick_kinds
from waggle.dashboard.rounds.heat_map import tint
from waggle.dashboard.rounds.round_view import ballot_words, step_notes, step_states
from waggle.dashboard.rounds.rows import note, said
from waggle.dashboard.settings_table import by_origin, setting_words

A = NodeId("a")
PLAN = Plan(round_id=RoundId("0" * 32), question="?", proposers=(), judges=())
EMPTY = RoundPicture(plan=PLAN, phase=Phase.RANK, at=1.0)
LEADER = CandidatePicture(number=1, answer="42", supporters=(A,), support=1.0)


def ballot(p: float | None) -> Ballot:
    return Ballot(judge=A, first=0, second=1, p=p)


def test_ticks_say_what_became_of_every_ballot() -> None:
    count = BallotCount(asked=7, cast=3, unparseable=1, refused=1)
    ballots = (ballot(0.1), ballot(0.9), ballot(None), ballot(0.5))
    picture = replace(EMPTY, candidates=(LEADER,), ballots=ballots, count=count)
    assert tick_kinds(picture) == ["leader", "against", "unreadable", "others", "refused", "open", "open"]
    assert ballot_words(picture) == "3 of 7 counted, 1 unreadable one, 1 refused one"


def test_a_ballot_on_a_pair_without_the_leader_is_not_one_against_it() -> None:
    ballots = tuple(replace(ballot(p), first=2, second=3) for p in (0.9, 0.1))
    picture = replace(EMPTY, candidates=(LEADER,), ballots=ballots, count=BallotCount(asked=2, cast=2))
    assert tick_kinds(picture) == ["others", "others"]
    assert tick_kinds(replace(picture, candidates=())) == ["others", "others"]


def test_a_great_many_ballots_are_not_all_drawn() -> None:
    assert len(tick_kinds(replace(EMPTY, count=BallotCount(asked=100_000)))) == MOST


def test_a_round_without_judges_says_so() -> None:
    assert ballot_words(EMPTY) == "none yet"
    assert ballot_words(replace(EMPTY, phase=Phase.DONE)) == "none asked for"


def test_phases_say_how_far_they_are() -> None:
    proposers = tuple(
        ProposerPicture(node=NodeId(part), model="", part=part) for part in (Part.ANSWERED, Part.COMMITTED, Part.FAILED)
    )
    picture = replace(EMPTY, proposers=proposers, count=BallotCount(asked=4, cast=1, unparseable=1, refused=1))
    assert step_notes(picture) == ("1 of 3 in, 1 committed", "3 of 4 ballots", "")


def outcome(answer: str | None, *, abstained: bool = False) -> Outcome:
    return Outcome(answer=answer, confidence=0.8 if answer else 0.0, abstained=abstained)


def test_a_failed_round_looks_failed_where_it_failed() -> None:
    failed = replace(EMPTY, phase=Phase.DONE, outcome=outcome(None), at=3.5)
    assert step_states(failed) == ("bad", "", "bad")
    assert step_notes(failed)[2] == "no answer, 3.5 s"
    answered = (ProposerPicture(node=A, model="", part=Part.ANSWERED),)
    assert step_states(replace(failed, proposers=answered)) == ("done", "", "bad")
    assert step_states(replace(failed, proposers=answered, count=BallotCount(asked=2))) == ("done", "bad", "bad")


def test_phases_are_done_one_after_the_other_and_an_abstention_is_no_success() -> None:
    assert step_states(replace(EMPTY, phase=Phase.PROPOSE)) == ("now", "", "")
    assert step_states(EMPTY) == ("done", "now", "")
    ended = replace(EMPTY, phase=Phase.DONE)
    assert step_states(replace(ended, outcome=outcome("42"))) == ("done", "done", "done")
    unsure = replace(ended, outcome=outcome("42", abstained=True))
    assert step_states(unsure) == ("done", "done", "unsure")
    assert step_notes(unsure)[2] == "not sure, 80 %, 1.0 s"


@pytest.mark.parametrize(
    ("part", "reason", "words"),
    [
        (Part.THINKING, "", "is thinking …"),
        (Part.COMMITTED, "", "has committed to its answer"),
        (Part.FAILED, "out\nof memory", "out of memory"),
        (Part.FAILED, "", "gave no answer"),
        (Part.SKIPPED, "", "was not needed"),
    ],
)
def test_a_proposer_without_an_answer_says_what_it_is_at(part: Part, reason: str, words: str) -> None:
    assert said(ProposerPicture(node=A, model="", part=part, reason=reason), {}) == words


def test_a_proposer_with_an_answer_says_how_sure_it_is() -> None:
    proposal = Proposal(node=A, answer=" ", self_confidence=0.5, seconds=2.0)
    proposer = ProposerPicture(node=A, model="", part=Part.ANSWERED, proposal=proposal, ballots=2, reason="gone")
    assert said(proposer, {}) == "(an empty answer)"
    assert note(proposer) == "50 % sure · 2.0 s · judging failed · 2 ballots"


def test_an_even_pair_has_no_colour_and_winners_are_green() -> None:
    assert "0%" in tint(0.5)
    assert "--win" in tint(0.9)
    assert "--lose" in tint(0.1)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (("node", "default"), ("node", "default")),
        ((["a", "b"], "WAGGLE_ENGINES"), ("a\nb", "WAGGLE_ENGINES")),
        ({"value": True, "from": "waggle.toml"}, ("yes", "waggle.toml")),
        (((), "default"), ("–", "default")),
        (7, ("7", "")),
        ("\x1b", ("\\x1b", "")),
    ],
)
def test_a_setting_has_a_value_and_a_source(value: object, words: tuple[str, str]) -> None:
    assert setting_words(value) == words


def test_settings_that_somebody_gave_come_before_the_defaults() -> None:
    given, left = by_origin({"name": ("node", "default"), "network": ("garden", "waggle.toml"), "odd": 7})
    assert (list(given), list(left)) == (["network"], ["name", "odd"])
