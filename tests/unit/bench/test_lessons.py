"""Nobody is calibrated on what is measured, and no wrong answer is right."""

import pytest

from waggle.bench.quality.lessons import KnownSet, calibration_lessons
from waggle.training.families import FAMILIES
from waggle.training.outside import outside_questions
from waggle.training.questions import Split, split_of


def test_calibration_never_touches_a_question_that_is_measured_or_trained_on() -> None:
    lessons = calibration_lessons(questions=6, rounds=4, seed=3)
    assert {split_of(question.text) for question in (*lessons.known, *lessons.rounds)} == {Split.CALIBRATE}
    assert len(lessons.known) == 6 * len(FAMILIES)
    assert len(lessons.rounds) == 4 * len(FAMILIES)
    assert not {question.text for question in lessons.known} & {question.text for question in lessons.rounds}


def test_the_truth_is_right_and_the_wrong_answer_is_not() -> None:
    known = KnownSet(Split.MEASURE, per_kind=5, seed=3)
    for question in known.known:
        assert known.is_right(question, question.answer)
        assert not known.is_right(question, question.wrong)


def test_outside_questions_for_measuring_are_of_other_kinds_than_those_for_calibrating() -> None:
    fit, measured = (outside_questions(split, 3, 4) for split in (Split.CALIBRATE, Split.MEASURE))
    assert len(fit) == len(measured) == 32
    assert not set(fit) & set(measured)
    with pytest.raises(KeyError):
        outside_questions(Split.TRAIN, 3, 4)
