"""Wrong answers are wrong, and look like answers."""

import random
from itertools import islice

import pytest

from waggle.training.families import FAMILIES, WEEKDAYS
from waggle.training.questions import Split, is_right, questions
from waggle.training.wrong import wrong_answer


@pytest.mark.parametrize("family", FAMILIES)
def test_no_wrong_answer_is_right(family: str) -> None:
    rng = random.Random(4)
    for question in islice(questions(family, Split.TRAIN, 5), 200):
        wrong = wrong_answer(question.answer, rng)
        assert wrong != question.answer
        assert not is_right(question, wrong)


def test_a_wrong_answer_has_the_form_of_the_right_one() -> None:
    rng = random.Random(4)
    assert wrong_answer("Yes", rng) == "No"
    assert wrong_answer("Friday", rng) in set(WEEKDAYS) - {"Friday"}
    assert all(wrong_answer("-4", rng).lstrip("-").isdigit() for _ in range(50))
    assert all(int(wrong_answer("0", rng)) > 0 for _ in range(50))
