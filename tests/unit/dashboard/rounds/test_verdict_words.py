"""How rounds ended, in words that somebody understands who sees them for the first time."""

import pytest
from msgspec.structs import replace

from tests.unit.dashboard.test_endings import ENDED, summary
from waggle.core.failures import Cause, Failure
from waggle.core.ids import RoundId
from waggle.core.round_picture import Phase, RoundPicture
from waggle.core.round_values import Plan
from waggle.dashboard.rounds.page import address_of, short_of, state_chip
from waggle.dashboard.rounds.replay_view import step_words
from waggle.dashboard.rounds.rows import leader_look
from waggle.dashboard.rounds.verdict_view import failure_lines, verdict_kind
from waggle.node.observing.ending import Ending

PLAN = Plan(round_id=RoundId("0" * 32), question="?", proposers=(), judges=())
LATE = Failure(Cause.LATE, "no answer in time")
PICTURE = RoundPicture(plan=PLAN, phase=Phase.DONE, at=1.0)


def test_nodes_that_failed_alike_are_told_in_one_line() -> None:
    failures = {
        "a": LATE,
        "b": Failure(Cause.UNREACHABLE, "no answer from b within 3 s"),
        "c": Failure(Cause.UNAVAILABLE, "it is out of memory"),
        "d": LATE,
        "e": Failure(Cause.TOO_LONG, "too long"),
        "f": Failure(Cause.TOO_LONG, "too long"),
    }
    assert failure_lines(failures, {"b": "basil"}) == [
        ("3 nodes", "gave no answer: a, basil, d"),
        ("c", "failed: it is out of memory"),
        ("2 nodes", "failed: e, f (too long)"),
    ]
    assert failure_lines({"a": LATE}, {}) == [("a", "failed: no answer in time")]
    assert failure_lines({}, {}) == []


def test_of_a_great_many_only_some_are_named() -> None:
    ((who, why),) = failure_lines({f"n{number}": LATE for number in range(50)}, {})
    assert who == "50 nodes"
    assert why.startswith("gave no answer: n0, n1, ")
    assert why.endswith("n11 and 38 more")


@pytest.mark.parametrize(
    ("confidence", "wanted", "words"),
    [
        (0.98, 0.999, "98 % of 99.9 % asked"),
        (0.3, 0.5, "30 % of 50 % asked"),
        (0.4963, 0.5, "49.63 % of 50.00 % asked"),
        (0.3, None, "30 %"),
        (0.3, 0.0, "30 %"),
    ],
)
def test_an_abstention_says_how_sure_it_should_have_been(confidence: float, wanted: float | None, words: str) -> None:
    assert short_of(confidence, wanted) == words


def test_abstentions_and_failures_are_told_apart() -> None:
    assert state_chip(summary("1", abstained=True), 0.5) == ("abstained, 30 % of 50 % asked", "chip warn")
    assert state_chip(summary(None, abstained=True)) == ("abstained, no answer", "chip warn")
    assert state_chip(summary(None, abstained=False)) == ("failed", "chip bad")
    nothing = replace(ENDED, answer=None)
    assert verdict_kind(nothing, ending=Ending.ABSTAINED)[0] == "unsure"
    assert verdict_kind(nothing, ending=Ending.FAILED)[0] == "failed"


def test_the_best_guess_of_an_abstention_does_not_look_like_a_winner() -> None:
    assert leader_look(PICTURE) == "first"
    assert leader_look(replace(PICTURE, outcome=ENDED)) == "first"
    assert leader_look(replace(PICTURE, outcome=replace(ENDED, abstained=True))) == "first unsure"


def test_a_step_of_a_replay_says_what_came_at_the_same_moment() -> None:
    moments = ["0.0 ms", "12 ms", "30 ms", "30 ms", "30 ms"]
    assert step_words(1, moments) == "step 2 of 5, at 12 ms"
    assert step_words(2, moments) == "step 3 of 5, at 30 ms with 2 others"
    assert step_words(0, ["0.0 ms", "0.0 ms"]) == "step 1 of 2, at 0.0 ms with 1 other"


def test_a_search_has_an_address_of_its_own() -> None:
    assert address_of("") == "/rounds"
    assert address_of('6 & 7" #') == "/rounds?q=6+%26+7%22+%23"
