"""Whatever a model writes, a terminal shows it and does not obey it."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle.core.inert import inert, one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b2J", "\\x9b2J"),
        ("a\x00b\x07c\x08", "a\\x00b\\x07c\\x08"),
        ("\u202eevil", "\\u202eevil"),
        ("half \ud800", "half \\ud800"),
        ("over\rwritten", "over\\rwritten"),
        ("two\r\nlines", "two\nlines"),
        ("a\tb", "a   b"),
        ("[bold]x[/] :heart:", "[bold]x[/] :heart:"),
        ("中文\u3000\u00a0ß é", "中文\u3000\u00a0ß é"),
        ("👩\u200d🔬", "👩\u200d🔬"),
    ],
)
def test_text_is_shown_without_what_a_terminal_would_obey(text: str, shown: str) -> None:
    assert inert(text) == shown


@given(st.text(st.characters()))
def test_no_control_character_survives(text: str) -> None:
    left = {unicodedata.category(letter) for letter in inert(text) if letter not in "\n\u200c\u200d"}
    assert left.isdisjoint({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@given(st.text(st.characters()), st.integers(4, 50))
def test_one_line_is_one_line_of_bounded_length(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert "\n" not in line


def test_a_cut_is_marked() -> None:
    assert one_line("one two three", 9) == "one tw..."
    assert one_line(" one\n two ", 9) == "one two"
