"""Completions are cut, split and weighed in the same way however they arrive."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waggle.engines.answer import StopCutter, answer_start, cut_at_stop, self_confidence, split_answer


@pytest.mark.parametrize(
    ("text", "marker", "expected"),
    [
        ("6 x 7. Answer: 42", "Answer:", ("6 x 7. ", "42")),
        ("Answer: 1, no. Answer: 2 \n", "Answer:", ("Answer: 1, no. ", "2")),
        ("I do not know", "Answer:", ("I do not know", "")),
        (" 42\n", None, ("", "42")),
        ("hm Answer:", "Answer:", ("hm ", "")),
        ("", "Answer:", ("", "")),
    ],
)
def test_the_answer_is_what_follows_the_last_marker(text: str, marker: str | None, expected: tuple[str, str]) -> None:
    assert split_answer(text, marker) == expected


@pytest.mark.parametrize(
    ("pieces", "marker", "start"),
    [
        (["So", " Answer:", " 42"], "Answer:", 2),
        (["So", " Answer: 4", "2"], "Answer:", 1),
        (["Answer:", " ", "\n", "42"], "Answer:", 3),
        (["Answer: 1", " Answer:", " 1", " "], "Answer:", 2),
        (["forty", " two"], None, 0),
        (["no", " marker"], "Answer:", 2),
        (["Answer:"], "Answer:", 1),
        ([], None, 0),
    ],
)
def test_the_first_piece_of_the_answer_is_found(pieces: list[str], marker: str | None, start: int) -> None:
    assert answer_start(pieces, marker) == start


def test_self_confidence_is_the_geometric_mean_of_the_probabilities() -> None:
    assert self_confidence([math.log(0.25), 0.0]) == pytest.approx(0.5)
    assert self_confidence([0.0, 1e-7]) == 1.0
    assert self_confidence([-math.inf]) == 0.0


def test_self_confidence_of_nothing_or_of_nonsense_is_unknown() -> None:
    assert self_confidence([]) is None
    assert self_confidence([math.nan, -1.0]) is None


def test_the_stop_string_that_is_complete_first_counts_and_empty_ones_do_not() -> None:
    assert cut_at_stop("one two three", ["three", "two", ""]) == "one "
    assert cut_at_stop("xab", ["b", "ab"]) == "x"
    assert cut_at_stop("abcd", ["bcd", "c"]) == "ab"
    assert cut_at_stop("one", ["two", ""]) is None


def test_text_that_may_begin_a_stop_string_is_held_back() -> None:
    cutter = StopCutter(("END",))
    assert [cutter.feed(piece) for piece in ("aE", "N", "x", "E")] == ["a", "", "ENx", ""]
    assert cutter.rest() == "E"
    assert not cutter.stopped


def test_without_stop_strings_nothing_is_held_back() -> None:
    cutter = StopCutter(())
    assert cutter.feed("abc") == "abc"
    assert cutter.rest() == ""


def test_nothing_is_shown_after_a_stop_string() -> None:
    cutter = StopCutter(("##",))
    assert cutter.feed("a##b") + cutter.feed("c") + cutter.rest() == "a"
    assert cutter.stopped


@settings(deadline=None)
@given(
    st.lists(st.text("abc", max_size=4), max_size=12),
    st.lists(st.text("abc", min_size=1, max_size=3), max_size=3),
)
def test_however_a_text_is_streamed_the_part_before_the_first_stop_is_shown(
    pieces: list[str], stops: list[str]
) -> None:
    cutter = StopCutter(tuple(stops))
    shown = "".join([cutter.feed(piece) for piece in pieces]) + cutter.rest()
    text = "".join(pieces)
    before = cut_at_stop(text, stops)
    assert shown == (text if before is None else before)
    assert cutter.stopped == (before is not None)
