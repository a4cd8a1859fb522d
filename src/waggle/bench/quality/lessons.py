"""Questions with known answers from the hive's families: to calibrate with, and, apart from those, to measure on."""

import random
from collections.abc import Sequence
from itertools import islice

from waggle.node.calibrating.calibrate import Lessons
from waggle.node.calibrating.known import KnownQuestion
from waggle.training.families import FAMILIES
from waggle.training.outside import outside_questions
from waggle.training.questions import Question, Split, is_right, questions
from waggle.training.wrong import wrong_answer

OUTSIDE_PER_TASK = 16


class KnownSet:
    """Known questions that remember the entry which reasoning-gym's scorer wants back."""

    def __init__(self, split: Split, *, per_kind: int, seed: int, families: Sequence[str] = tuple(FAMILIES)) -> None:
        asked = [question for family in families for question in islice(questions(family, split, seed), per_kind)]
        self._entries = {question.text: question for question in asked}
        rng = random.Random(seed)
        self.known = [_known(question, rng) for question in asked]

    def is_right(self, question: KnownQuestion, answer: str) -> bool:
        """reasoning-gym's own judgement."""
        return is_right(self._entries[question.text], answer)


def _known(question: Question, rng: random.Random) -> KnownQuestion:
    wrong = wrong_answer(question.answer, rng)
    return KnownQuestion(kind=question.family, text=question.text, answer=question.answer, wrong=wrong)


def calibration_lessons(*, questions: int, rounds: int, seed: int) -> Lessons:
    """Per kind, `questions` to measure skills on and `rounds` others to fit the confidence on.

    All are from the calibration side of the split, which neither training nor any benchmark touches.
    """
    both = KnownSet(Split.CALIBRATE, per_kind=questions + rounds, seed=seed)
    by_kind = {family: [known for known in both.known if known.kind == family] for family in FAMILIES}
    return Lessons(
        known=[known for family in by_kind.values() for known in family[:questions]],
        rounds=[known for family in by_kind.values() for known in family[questions:]],
        outside=outside_questions(Split.CALIBRATE, seed, OUTSIDE_PER_TASK),
        is_right=both.is_right,
    )
