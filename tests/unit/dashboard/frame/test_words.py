"""Numbers and foreign text in words."""

import pytest

from waggle.core.words import many
from waggle.dashboard.frame.words import ago, duration, moment, one_line, percent, plain, short_id, with_names


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\u202eb", "a\\u202eb"),
        ("<b>bold</b>", "<b>bold</b>"),  # the browser gets it as text
        ("two\r\nlines", "two\nlines"),
        ("\x00\x07", "\\x00\\x07"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
    ],
)
def test_unseen_letters_are_shown_as_escapes(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_a_long_text_is_cut_before_it_is_looked_at() -> None:
    assert len(plain("x" * 1_000_000)) == 8_000
    assert one_line("a\nb " * 100_000, 20) == "a b a b a b a b a..."


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0.934, "93 %"),
        (0.9956, "99.6 %"),
        (1.0, "100 %"),
        (0.0, "0 %"),
        (0.0022, "0.2 %"),
        (0.99999, "> 99.9 %"),
        (1e-9, "< 0.1 %"),
        (None, "–"),
    ],
)
def test_shares_near_the_ends_are_not_rounded_to_them(share: float | None, shown: str) -> None:
    assert percent(share) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0042, "4.2 ms"), (0.25, "250 ms"), (2.34, "2.3 s"), (75.0, "1 min 15 s"), (119.7, "2 min 0 s"), (None, "–")],
)
def test_durations_have_the_unit_that_fits(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown


def test_dates_are_told_as_people_do() -> None:
    assert [ago(100.0, now) for now in (90.0, 130.0, 230.0, 8_000.0, 200_000.0)] == [
        "just now",
        "just now",
        "2 minutes ago",
        "2 hours ago",
        "2 days ago",
    ]
    assert moment(0.0) == "1970-01-01 00:00:00 UTC"
    assert (many(1, "ballot"), many(1_200, "ballot")) == ("1 ballot", "1,200 ballots")


def test_a_long_id_is_shown_by_its_ends_or_by_a_name() -> None:
    node = "12D3KooWLK7VcSBRToKM9JBQn9vkBgSKz168BhwvkrhoaJVeWNSf"
    assert short_id(node) == "12D3Ko…eWNSf"[:7] + "VeWNSf"
    assert with_names(f"the stream with {node} broke", {node: "sage"}) == "the stream with sage broke"
    assert with_names("a is short", {"a": "sage"}) == "a is short"
