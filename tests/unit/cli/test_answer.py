"""What is printed of a finished round, for people and for programs."""

import io
import json
import sys
from collections.abc import Callable

import pytest

from tests.unit.cli.rounds import agreed_round, answering, assert_inert, crashing, hostile_engines, play
from waggle.cli.answer import print_answer, print_explanation, print_json
from waggle.core.ids import NodeId
from waggle.core.round_values import Record
from waggle.node.observing.ending import why_none

KEYS = [
    "answer", "confidence", "abstained", "candidates", "runner_up", "confusion_p", "ballots", "spent", "seed",
    "strategy", "nodes", "failures", "reason",
]  # fmt: skip


def test_the_answer_comes_with_its_confidence_and_cost(capsys: pytest.CaptureFixture[str]) -> None:
    print_answer(agreed_round())
    answer, cost = capsys.readouterr().out.splitlines()
    assert answer == "42"
    assert cost.startswith("confidence ")
    assert "tokens (proposing " in cost


def test_an_abstention_names_the_best_guess_as_a_guess(capsys: pytest.CaptureFixture[str]) -> None:
    print_answer(agreed_round(min_confidence=1.0))
    assert capsys.readouterr().out.startswith("the swarm is not sure enough to answer\nbest guess: 42\n")


def test_a_lost_model_is_mentioned_beside_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    print_answer(play(hostile_engines()))
    assert "1 of 4 models failed" in capsys.readouterr().out


def test_a_long_answer_is_not_broken_into_lines(capsys: pytest.CaptureFixture[str]) -> None:
    long = "word " * 100 + "end"
    print_answer(play({NodeId("ada"): answering(long)}))
    assert capsys.readouterr().out.splitlines()[0] == long


def test_the_explanation_shows_proposals_supporters_and_who_beat_whom(capsys: pytest.CaptureFixture[str]) -> None:
    print_explanation(agreed_round())
    out = capsys.readouterr().out
    assert all(word in out for word in ("proposals", "candidates", "ada, bea", "how often the row beats the column"))
    assert "ended because" in out


@pytest.mark.parametrize("columns", ["20", "80", "200"])
@pytest.mark.parametrize("show", [print_answer, print_explanation])
def test_hostile_text_is_inert_at_every_width(
    show: Callable[[Record], None], columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    show(play(hostile_engines()))
    out = capsys.readouterr().out
    assert_inert(out)
    assert "❤" not in out


def test_markup_of_a_model_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_answer(play(hostile_engines()))
    assert "[bold]big[/] [/] :heart:" in capsys.readouterr().out


def test_why_nobody_answered_is_told() -> None:
    record = play({NodeId("mal"): crashing()})
    assert why_none(record).startswith("no answer: mal: ")


def test_nothing_usable_is_said_and_nobody_heard_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    print_answer(play({NodeId("mute"): answering(" ")}))
    assert "nothing that its models wrote can be used" in capsys.readouterr().out
    print_answer(play({NodeId("mal"): crashing()}))
    assert capsys.readouterr().out == ""


def test_json_has_stable_keys(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(agreed_round())
    shown = json.loads(capsys.readouterr().out)
    assert list(shown) == KEYS
    assert list(shown["candidates"][0]) == ["answer", "strength", "support", "supporters"]
    assert list(shown["ballots"]) == ["asked", "cast", "refused", "unparseable"]
    assert list(shown["spent"]) == ["proposing_tokens", "judging_tokens", "prompt_tokens", "seconds"]
    assert (shown["answer"], shown["nodes"], shown["strategy"]) == ("42", ["ada", "bea", "cid"], "committee")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp1252"])
def test_json_is_one_line_that_every_locale_can_print(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, write_through=True))
    record = play(hostile_engines())
    print_json(record)
    assert raw.getvalue().count(b"\n") == 1
    assert_inert(raw.getvalue().decode("ascii"))
    assert json.loads(raw.getvalue())["answer"] == record.outcome.answer


def test_json_of_no_answer_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(play({NodeId("mal"): crashing()}))
    shown = json.loads(capsys.readouterr().out)
    assert (shown["answer"], shown["abstained"], shown["candidates"]) == (None, True, [])
    assert list(shown) == KEYS
