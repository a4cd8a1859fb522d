"""How far the calibration questions of a kind reach: nothing was measured beyond their largest number and longest word.

A small model that counts the bits of numbers to 2,500 without a fault writes any digit for 65,535, and is as sure of
it; the words of the question are the same. What is known of a kind holds within its questions' span and fades beyond.
"""

import re
from collections.abc import Iterable

from msgspec import Struct

REACH = 1.25
"""From here on, as a multiple of the largest number or the longest word, nothing is known; to 1, everything is."""

_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?!\d)|\d+")
_WORD = re.compile(r"[^\W\d_]+")


class Span(Struct, frozen=True, forbid_unknown_fields=True):
    """The largest number and the most letters of a word in the questions of a kind; 0 where there are none."""

    largest: float = 0.0
    longest: float = 0.0

    def holds(self, question: str) -> float:
        """How far what was measured holds for a question: 1 within the span, 0 from `REACH` times it on.

        A kind without numbers says nothing of numbers. Span(2_500, 14): 1 for "bits of 1453", 0 for "bits of 65535".
        """
        own = span_of([question])
        return min(_fading(own.largest, self.largest), _fading(own.longest, self.longest))


def span_of(questions: Iterable[str]) -> Span:
    """The span of some questions. ["7*x = 44", "bee"]: Span(44, 3)."""
    texts = list(questions)
    numbers = (float(found.replace(",", "")) for text in texts for found in _NUMBER.findall(text))
    words = (float(len(found)) for text in texts for found in _WORD.findall(text))
    return Span(max(numbers, default=0.0), max(words, default=0.0))


def _fading(value: float, most: float) -> float:
    if most <= 0 or value <= most:
        return 1.0
    return max(0.0, 1 - (value / most - 1) / (REACH - 1))
