"""Questions of one family, split once and for all into those to train on, to calibrate with and to measure on.

The split is decided by a hash of the question's text, so a question can never be on two sides, whatever seed
produced it. reasoning-gym is imported here and nowhere else.
"""

import hashlib
import warnings
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from typing import Protocol, cast

from msgspec import Struct

from waggle.core.errors import UsageError
from waggle.training.families import FAMILIES

_SHARES = 8  # one eighth of all questions is kept for measuring, one for calibration


class Split(StrEnum):
    """Which part of a family's questions."""

    TRAIN = "train"
    CALIBRATE = "calibrate"
    MEASURE = "measure"


class Question(Struct, frozen=True):
    """One question: its family, its text, the oracle's answer, and the entry that the scorer wants back."""

    family: str
    text: str
    answer: str
    entry: dict[str, object]


def split_of(text: str) -> Split:
    """The side a question belongs to, by the first byte of its SHA-256."""
    share = hashlib.sha256(text.encode()).digest()[0] % _SHARES
    return {0: Split.MEASURE, 1: Split.CALIBRATE}.get(share, Split.TRAIN)


class _DataSet(Protocol):
    """What is used of a reasoning-gym data set; the library has no types of its own."""

    def __getitem__(self, index: int) -> dict[str, object]: ...

    def score_answer(self, answer: str, entry: dict[str, object]) -> float: ...


@cache
def _dataset(family: str, seed: int) -> _DataSet:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import reasoning_gym

        if family not in FAMILIES:
            raise UsageError(f"unknown family {family!r}; there are {', '.join(FAMILIES)}")
        spec = FAMILIES[family]
        return cast(_DataSet, reasoning_gym.create_dataset(spec.dataset, size=10**9, seed=seed, **spec.settings))


def questions(family: str, split: Split, seed: int) -> Iterator[Question]:
    """Distinct questions of one side, without end as far as the family has them, in an order fixed by `seed`."""
    dataset = _dataset(family, seed)
    seen: set[str] = set()
    misses = 0
    index = 0
    while misses < 20_000:  # so many repeats in a row: the family has no more
        entry = dataset[index]
        index += 1
        text = str(entry["question"])
        if text in seen or split_of(text) is not split:
            misses += 1
            continue
        misses = 0
        seen.add(text)
        yield Question(family, text, str(entry["answer"]), entry)


def is_right(question: Question, answer: str) -> bool:
    """reasoning-gym's own scorer gives full marks: exactly 1, since it gives surplus letters 0.9999... for a prefix."""
    scorer = _dataset(question.family, 0)
    return scorer.score_answer(answer, question.entry) == 1.0
