"""Traces come from the question alone and lead to the oracle's answer; the split never lets a question cross."""

import re
from itertools import islice

import pytest

from waggle.core.errors import UsageError
from waggle.training.families import FAMILIES
from waggle.training.questions import Split, is_right, questions, split_of

SOME = 300


def _last(trace: str) -> str:
    """What a reader of the trace would answer."""
    return re.split(r"[ :=,]", trace)[-1]


@pytest.mark.parametrize("family", ["weekdays", "chain_sum", "count_bits"])
def test_the_trace_ends_with_the_answer(family: str) -> None:
    for question in islice(questions(family, Split.TRAIN, 5), SOME):
        assert _last(FAMILIES[family].trace(question.text)) == question.answer, question.text


def test_the_letters_of_a_word_are_read_back_to_front() -> None:
    for question in islice(questions("spell_backward", Split.TRAIN, 5), SOME):
        backward = FAMILIES["spell_backward"].trace(question.text).split(" ")[1]
        assert re.sub(r"\d", "", backward) == question.answer


def test_the_running_count_of_letters_ends_at_the_answer() -> None:
    for question in islice(questions("letter_counting", Split.TRAIN, 5), SOME):
        if not re.search(r'"[^"]*\d', question.text):  # digits of the text itself are not counts
            assert re.findall(r"\d+", FAMILIES["letter_counting"].trace(question.text))[-1] == question.answer


def test_the_last_running_number_of_primes_is_the_answer() -> None:
    for question in islice(questions("count_primes", Split.TRAIN, 5), SOME):
        listed = FAMILIES["count_primes"].trace(question.text).split(": ", 1)[1]
        running = re.findall(r"(\d+):", listed)
        assert (running[-1] if running else "0") == question.answer


def test_an_equation_is_reduced_to_one_division() -> None:
    for question in islice(questions("equations", Split.TRAIN, 5), SOME):
        left, right = re.findall(r"(-?\d+) / (-?\d+)$", FAMILIES["equations"].trace(question.text))[0]
        assert int(left) / int(right) == float(question.answer)


def test_one_more_sibling_is_the_answer() -> None:
    for question in islice(questions("siblings", Split.TRAIN, 5), SOME):
        assert int(FAMILIES["siblings"].trace(question.text).split(" ")[0]) + 1 == int(question.answer)


def test_a_syllogism_is_rewritten_with_three_terms() -> None:
    for question in islice(questions("syllogisms", Split.TRAIN, 5), SOME):
        trace = FAMILIES["syllogisms"].trace(question.text)
        assert re.fullmatch(r"= \w+ S \w+ P(, (All|No|Some|Not) \w+ [SPM] \w+ [SPM]){3}", trace), trace


@pytest.mark.parametrize("family", FAMILIES)
def test_the_oracle_gives_its_own_answer_full_marks_and_another_none(family: str) -> None:
    for question in islice(questions(family, Split.MEASURE, 5), 50):
        assert is_right(question, question.answer)
        assert not is_right(question, "rubbish")
        assert not is_right(question, "")


@pytest.mark.parametrize("family", FAMILIES)
def test_there_are_enough_unseen_questions(family: str) -> None:
    assert len(list(islice(questions(family, Split.MEASURE, 5), 200))) == 200
    assert len(list(islice(questions(family, Split.CALIBRATE, 5), 200))) == 200


def test_the_split_depends_on_the_text_alone_whatever_the_seed() -> None:
    for split in Split:
        for seed in (1, 2):
            assert all(split_of(q.text) is split for q in islice(questions("count_bits", split, seed), 50))


def test_the_same_seed_gives_the_same_questions() -> None:
    first, second = (list(islice(questions("weekdays", Split.MEASURE, 9), 20)) for _ in range(2))
    assert first == second
    assert first != list(islice(questions("weekdays", Split.MEASURE, 10), 20))


def test_an_unknown_family_is_named() -> None:
    with pytest.raises(UsageError, match="no_such"):
        next(questions("no_such", Split.TRAIN, 1))
