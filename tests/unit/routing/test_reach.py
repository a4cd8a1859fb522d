"""The span of a kind's questions: what was measured holds within it and fades out beyond."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle.routing.kinds import fit_kinds
from waggle.routing.reach import REACH, Span, span_of

BITS = [f"How many 1 bits are there in the number {number}?" for number in range(40, 2_500, 60)]


@pytest.mark.parametrize(
    ("texts", "span"),
    [
        ([], Span(0, 0)),
        (["7*x = 44", "bee"], Span(44, 3)),
        (["1,234,567 bees"], Span(1_234_567, 4)),
        (["1, 2 and 12,34"], Span(34, 3)),
        (["9" * 400], Span(float("inf"), 0)),
        (["it's Ångström_7"], Span(7, 8)),
        (["bee", "sun", "it rained in 1987"], Span(0, 6)),
    ],
)
def test_a_span_is_the_largest_number_and_the_longest_word(texts: list[str], span: Span) -> None:
    assert span_of(texts) == span


@pytest.mark.parametrize(
    ("question", "holds"),
    [
        ("bits of 1453", 1.0),
        ("bits of 2000", 1.0),
        ("bits of 2250", 0.5),
        ("bits of 2500", 0.0),
        ("bits of 65,535", 0.0),
        ("bits of " + "9" * 500, 0.0),
        ("extraordinary bits of 7", 0.0),
    ],
)
def test_beyond_the_span_less_and_less_holds(question: str, holds: float) -> None:
    assert REACH == 1.25
    assert Span(2_000, 10).holds(question) == pytest.approx(holds)


def test_a_kind_without_numbers_says_nothing_of_numbers() -> None:
    assert Span(0, 10).holds("spell 999999 backward") == 1.0


def test_small_numbers_are_near_to_each_other() -> None:
    assert [Span(3, 9).holds(f"{number} bees") for number in (4, 10, 11, 13)] == pytest.approx([1, 1, 0.6, 0])


def test_a_guess_is_less_certain_beyond_the_span_of_its_kind() -> None:
    classifier = fit_kinds([*((text, "bits") for text in BITS), *((f"Spell {t}", "spell") for t in ("bee", "sun"))])
    known, far = (classifier.guess(BITS[0].replace("40", number)) for number in ("1453", "65535"))
    assert (known.kind, known.certainty) == ("bits", 1.0)
    assert (far.kind, far.certainty) == ("bits", 0.0)
    assert far.familiarity == known.familiarity


def test_further_questions_widen_the_spans_and_change_nothing_else() -> None:
    questions = [(text, "bits") for text in BITS]
    narrow, wide = fit_kinds(questions), fit_kinds(questions, further=[("bits of 65535", "bits")])
    assert wide.guess(BITS[0].replace("40", "60000")).certainty == 1.0
    assert (narrow.weights, narrow.templates, narrow.thresholds) == (wide.weights, wide.templates, wide.thresholds)


@given(st.text(max_size=200), st.floats(0, 1e9), st.floats(0, 50))
def test_any_text_gets_a_share(text: str, largest: float, longest: float) -> None:
    assert 0 <= Span(largest, longest).holds(text) <= 1
