"""What a tab says it remembers is checked like anything from outside."""

import json

import pytest

from waggle.dashboard.ask.composer import MOST_CHARACTERS
from waggle.dashboard.ask.kept import MOST_ROUNDS, Kept, kept_of

ID = "0af7" * 8


def test_the_rounds_and_the_open_question_of_a_tab_are_read() -> None:
    assert kept_of([json.dumps([ID, "ab"]), "Why?"]) == Kept((ID, "ab"), "Why?")


@pytest.mark.parametrize(
    "told",
    [
        None,
        "text",
        7,
        [],
        [None],
        [None, None],
        [None, None, None],
        {"rounds": []},
        ["{", None],
        ["7", 7],
        ['{"a": 1}', {}],
        ["[" * 2_000, []],
        [json.dumps(["../etc", "AB", "", "a" * 65, 7, None, ["a"]]), None],
        [["a"], None],
    ],
)
def test_what_cannot_be_meant_is_nothing(told: object) -> None:
    assert kept_of(told) == Kept()


def test_no_more_rounds_are_believed_than_a_page_shows() -> None:
    names = [f"{number:032x}" for number in range(MOST_ROUNDS + 5)]
    assert kept_of([json.dumps(names), None]).rounds == tuple(names[5:])
    assert kept_of([json.dumps(names * 10), None]) == Kept()  # so long a text is not even parsed


def test_a_round_is_told_once() -> None:
    assert kept_of([json.dumps([ID, ID]), None]).rounds == (ID,)


def test_an_endless_question_is_cut_to_what_can_be_written() -> None:
    assert len(kept_of([None, "x" * (MOST_CHARACTERS + 1)]).asked) == MOST_CHARACTERS
