"""Counts and sizes as people say them."""

import pytest

from waggle.core.words import amount, many


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 peers"), (1, "1 peer"), (2, "2 peers"), (1_000_000, "1,000,000 peers")]
)
def test_one_is_singular_and_all_else_plural(count: int, words: str) -> None:
    assert many(count, "peer") == words


def test_a_plural_without_an_s_is_given() -> None:
    assert (many(1, "entry", "entries"), many(2, "entry", "entries")) == ("1 entry", "2 entries")


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_950, "9.9 kB"),
        (9_960, "10 kB"),
        (999_499, "999 kB"),
        (999_501, "1.0 MB"),
        (1_936_402, "1.9 MB"),
        (268_435_456, "268 MB"),
        (2**48, "281 TB"),
        (2 * 10**15, "2,000 TB"),
    ],
)
def test_a_size_has_two_or_three_figures_and_its_unit(size: int, words: str) -> None:
    assert amount(size) == words
