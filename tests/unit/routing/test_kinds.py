"""Kinds are told apart, strange questions come out as unsure, and the classifier is small and the same everywhere."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waggle.core.errors import UsageError
from waggle.routing.kinds import KindClassifier, fit_kinds

WORDS = ("amber", "brook", "cedar", "dune", "ember", "fjord", "grove", "heath", "islet", "jetty", "knoll", "lagoon")
STRANGE = (
    "What is the capital of France?",
    "Write a poem about the sea.",
    "Explain in two sentences why the sky is blue.",
    "Translate 'good morning' to German.",
    "Name three rivers in Africa and say which is longest.",
    "?",
    "",
    "17",
    "\0\ud800 \x00",
)


def make(kind: str, rng: np.random.Generator) -> str:
    """One question of a kind, with numbers and words that vary."""
    a, b, c = rng.integers(2, 10 ** rng.integers(1, 5), 3)
    words = [WORDS[i] for i in rng.permutation(len(WORDS))[: rng.integers(3, 7)]]
    return {
        "sum": f"Calculate {a} + {b} - {c} and give only the number.",
        "gcd": f"Find the greatest common divisor of {a} and {b}.",
        "sort": f"Sort these words in alphabetical order: {', '.join(words)}.",
        "spell": f"Spell the word {words[0]} backward.",
        "legs": f"How many legs are there in total if you have {a} cats, {b} birds and {c} spiders?",
    }[kind]


KINDS = ("gcd", "legs", "sort", "spell", "sum")


def questions(count: int, seed: int) -> list[tuple[str, str]]:
    rng = np.random.default_rng(seed)
    return [(make(kind, rng), kind) for kind in KINDS for _ in range(count)]


@pytest.fixture(scope="module")
def classifier() -> KindClassifier:
    return fit_kinds(questions(20, 1))


def test_new_questions_of_known_kinds_are_told_apart(classifier: KindClassifier) -> None:
    guesses = [(classifier.guess(text), kind) for text, kind in questions(40, 2)]
    assert all(guess.kind == kind for guess, kind in guesses)
    assert np.mean([guess.certainty < 1 for guess, _ in guesses]) <= 0.1
    assert np.mean([guess.probabilities[kind] for guess, kind in guesses]) > 0.7


@pytest.mark.parametrize("text", STRANGE)
def test_a_strange_question_is_unsure(classifier: KindClassifier, text: str) -> None:
    guess = classifier.guess(text)
    assert guess.certainty < 0.5
    assert sum(guess.probabilities.values()) == pytest.approx(1)


def test_a_kind_that_was_left_out_comes_out_as_unsure() -> None:
    for left_out in KINDS:
        others = fit_kinds([question for question in questions(12, 3) if question[1] != left_out])
        strange = [others.guess(text) for text, kind in questions(12, 4) if kind == left_out]
        assert np.mean([guess.certainty < 1 for guess in strange]) >= 0.9


def test_numbers_do_not_matter_to_the_kind(classifier: KindClassifier) -> None:
    one, other = classifier.guess("Calculate 1 + 2 - 3."), classifier.guess("Calculate 9 + 8 - 7.")
    assert one == other


def test_a_question_is_read_to_a_limit_only(classifier: KindClassifier) -> None:
    page = "Spell the word amber backward. " * 200
    assert classifier.guess(page) == classifier.guess(page[:4000])
    assert classifier.guess(page + "x" * 10**6).kind == "spell"


def test_the_order_of_the_questions_changes_nothing(classifier: KindClassifier) -> None:
    mixed = fit_kinds(questions(20, 1)[::-1])
    assert mixed == classifier


def test_a_classifier_survives_json_and_is_small(classifier: KindClassifier) -> None:
    text = msgspec.json.encode(classifier)
    assert len(text) < 20_000 * len(KINDS)
    assert msgspec.json.decode(text, type=KindClassifier) == classifier


def test_the_hash_is_the_same_on_every_machine() -> None:
    """Pinned: a change makes every stored classifier worthless."""
    template = fit_kinds([("a b", "k"), ("a b c", "k")]).templates[0]
    assert template.hex() == "d35c6c80"  # CRC-32 of "a b", little-endian


def test_few_questions_make_no_certain_kind() -> None:
    single = fit_kinds([("Spell the word amber backward.", "spell")])
    assert single.guess("Spell the word amber backward.").certainty == 0


def test_no_questions_are_refused() -> None:
    with pytest.raises(UsageError, match="calibration questions"):
        fit_kinds([])


@pytest.mark.parametrize("field", ["kinds", "weights", "templates", "thresholds"])
def test_a_damaged_classifier_is_refused(classifier: KindClassifier, field: str) -> None:
    plain = msgspec.to_builtins(classifier)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(plain | {field: plain[field][:4]}, KindClassifier)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({key: value for key, value in plain.items() if key != field}, KindClassifier)


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=200))
def test_any_text_gets_a_guess(classifier: KindClassifier, text: str) -> None:
    guess = classifier.guess(text)
    assert 0 <= guess.familiarity <= 1
    assert 0 <= guess.certainty <= 1
    assert sum(guess.probabilities.values()) == pytest.approx(1)
