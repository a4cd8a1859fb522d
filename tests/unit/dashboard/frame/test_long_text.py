"""Texts that fill more than a few lines are folded; short ones have no button."""

from waggle.dashboard.frame.long_text import FEW, SHORT, is_long


def test_long_texts_and_texts_of_many_lines_are_folded() -> None:
    assert not is_long("x" * SHORT)
    assert is_long("x" * (SHORT + 1))
    assert not is_long("a" + "\n" * FEW)
    assert is_long("a" + "\n" * (FEW + 1))
