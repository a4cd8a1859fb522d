"""Plausible wrong answers: what a solver that slipped once would say.

Used to train and to measure judges. The hive's own wrong samples, which are harder, join them in `examples`.
"""

import random
import re

from waggle.training.families import WEEKDAYS

_CHOICES: tuple[tuple[str, ...], ...] = (("Yes", "No"), WEEKDAYS)


def wrong_answer(answer: str, rng: random.Random) -> str:
    """A different answer of the same form: another choice, a number slightly off, or a word with one slip."""
    for choices in _CHOICES:
        if answer in choices:
            return rng.choice([choice for choice in choices if choice != answer])
    if re.fullmatch(r"-?\d{1,9}", answer):
        return _wrong_number(int(answer), rng)
    return _wrong_word(answer, rng)


def _wrong_number(value: int, rng: random.Random) -> str:
    step = rng.choice((1, 1, 1, 2, 2, 3, 5, 10) if abs(value) > 9 else (1, 1, 1, 2, 2, 3))
    low = value - step if value < 0 or value >= step else value + step
    return str(rng.choice((low, value + step)))


def _wrong_word(word: str, rng: random.Random) -> str:
    """Swap two neighbours, drop, double or replace a letter; never the word itself (compared without case)."""
    for _ in range(20):
        letters = list(word)
        spot = rng.randrange(len(letters))
        match rng.randrange(4):
            case 0 if spot + 1 < len(letters):
                letters[spot], letters[spot + 1] = letters[spot + 1], letters[spot]
            case 1 if len(letters) > 1:
                del letters[spot]
            case 2:
                letters.insert(spot, letters[spot])
            case _:
                letters[spot] = rng.choice("abcdefghijklmnopqrstuvwxyz")
        if "".join(letters).lower() != word.lower():
            return "".join(letters)
    return word + "s"
