"""How far the calibration questions of a kind reach: nothing was measured beyond their largest number and longest word.

A small model that counts the bits of numbers to 2,500 without a fault writes any digit for 65,535, and is as sure of
it; the words of the question are the same. What is known of a kind holds within its questions' span and fades beyond.
"""

import re
from collections.abc import Sequence

from msgspec import Struct

REACH = 1.25
"""From here on, as a multiple of the largest number or the longest word, nothing is known; to 1, everything is."""
SMALL = 10
"""Numbers up to here are near to any other."""

_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?!\d)|\d+")
_WORD = re.compile(r"[^\W\d_]+")


class Span(Struct, frozen=True, forbid_unknown_fields=True):
    """The largest number and the most letters of a word in the questions of a kind; 0 where that says nothing."""

    largest: float = 0.0
    longest: float = 0.0

    def holds(self, question: str) -> float:
        """How far what was measured holds for a question: 1 within the span, 0 from `REACH` times it on.

        Span(2_500, 14): 1 for "bits of 1453", 0 for "bits of 65535".
        """
        number = _fading(_largest(question), max(self.largest, SMALL)) if self.largest else 1.0
        return min(number, _fading(_longest(question), self.longest)) if self.longest else number


def span_of(questions: Sequence[str]) -> Span:
    """The span of some questions; where fewer than half hold a number, numbers are no part of the kind.

    ["7*x = 44", "bee"]: Span(44, 3). ["bee", "sun", "it rained in 1987"]: Span(0, 6).
    """
    numbers = [_largest(question) for question in questions]
    belongs = 2 * sum(number > 0 for number in numbers) >= len(questions)
    return Span(max(numbers, default=0.0) if belongs else 0.0, max(map(_longest, questions), default=0.0))


def _largest(text: str) -> float:
    return max((float(found.replace(",", "")) for found in _NUMBER.findall(text)), default=0.0)


def _longest(text: str) -> float:
    return float(max(map(len, _WORD.findall(text)), default=0))


def _fading(value: float, most: float) -> float:
    return 1.0 if value <= most else max(0.0, 1 - (value / most - 1) / (REACH - 1))
