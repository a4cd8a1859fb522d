"""How much work a regular expression may make: an upper bound from its syntax tree, so that none can stall us.

A search that goes back tries one way after the other of matching a text. `most_steps` bounds their number for texts of
a given length, and what may be too many is refused before it is ever run. What is repeated counts as a single repeated
character where it can be read in one way only (`json_repeats`), so `^[a-z]+(-[a-z]+)*$` is served; of what else is
repeated the bound is coarse: `(a+)+b` is refused, and so are some that are harmless. Knows nothing of JSON.
"""

import re
from functools import lru_cache
from math import comb
from typing import TYPE_CHECKING, Any, NamedTuple

from waggle.gateway.structured.repeats import tries_in_one_way

if TYPE_CHECKING:
    import sre_parse
else:
    from re import _parser as sre_parse

MAX_PATTERN_CHARACTERS = 256
SURE_CHARACTERS = 64
"""A pattern that is not quick on texts of this length is refused outright."""
MAX_STEPS = 100_000_000
"""At most a fifth of a second: most of them are of the cheapest kind."""
_MAX_WIDE = 12
_NARROW = 8
_ONE_WAY = {"LITERAL", "NOT_LITERAL", "ANY", "IN", "AT"}
_OWN_FLAGS = re.compile(r"\(\?[a-zA-Z-]*[a-zA-Z]:")
_REPEATS = {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}


class UnsafePattern(ValueError):
    """The expression is broken, or may take too long."""


class _Ways(NamedTuple):
    """Ways to match: so many parts of any length, one after the other, and so many choices besides."""

    wide: int = 0
    choices: int = 1

    def checked(self) -> "_Ways":
        if self.wide > _MAX_WIDE or self.choices > MAX_STEPS:
            raise UnsafePattern("a pattern may take too long: it repeats what itself can match in several ways")
        return self


def check_pattern(pattern: str) -> None:
    """Raise UnsafePattern unless this is a regular expression that is quick on short texts."""
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        raise UnsafePattern(f"a pattern has more than {MAX_PATTERN_CHARACTERS} characters")
    if most_steps(pattern, SURE_CHARACTERS) > MAX_STEPS:
        raise UnsafePattern("a pattern may take too long: too many of its parts can be of any length")


def is_quick(pattern: str, characters: int) -> bool:
    """Whether a search in a text of this length surely ends soon."""
    try:
        return most_steps(pattern, characters) <= MAX_STEPS
    except UnsafePattern:
        return False


@lru_cache(maxsize=1024)
def most_steps(pattern: str, characters: int) -> int:
    """At most how many characters a search in a text of this length looks at.

    `^a+b+$` on 9 characters: two parts share them in comb(11, 2) = 55 ways of 10 steps each: 550.

    Raises:
        UnsafePattern: no regular expression, or one that looks back or around, or repeats what is repeated.
    """
    try:
        tree = sre_parse.parse(pattern)
        re.compile(pattern)
        if _OWN_FLAGS.search(pattern):
            tree.state.flags |= re.IGNORECASE  # flags for a part of it: nothing is sure then about what it repeats
    except (re.error, RecursionError, OverflowError, FutureWarning):
        raise UnsafePattern("a pattern is no regular expression that can be used here") from None
    wide, choices = _of_sequence(tree, characters)
    parts = wide if _is_anchored(tree) else wide + 1
    return comb(characters + parts, parts) * choices * (characters + 1)


def _is_anchored(tree: "sre_parse.SubPattern") -> bool:
    """Whether a match can begin at the first character only."""
    first = str(tree.data[0][1]) if tree.data and str(tree.data[0][0]) == "AT" else ""
    return first in ("AT_BEGINNING", "AT_BEGINNING_STRING") and not tree.state.flags & re.MULTILINE


def _of_sequence(tree: "sre_parse.SubPattern", characters: int) -> _Ways:
    wide, choices = 0, 1
    for operator, argument in tree.data:
        ways = _of_node(str(operator), argument, characters)
        wide, choices = _Ways(wide + ways.wide, choices * ways.choices).checked()
    return _Ways(wide, choices)


def _of_node(operator: str, argument: Any, characters: int) -> _Ways:  # noqa: ANN401  # a tree without types
    if operator in _ONE_WAY:
        return _Ways()
    if operator in _REPEATS:
        least, most, body = argument
        return _of_repeat(int(least), int(most), body, characters)
    if operator == "BRANCH":
        branches = [_of_sequence(branch, characters) for branch in argument[1]]
        return _Ways(max(ways.wide for ways in branches), sum(ways.choices for ways in branches)).checked()
    if operator in ("SUBPATTERN", "ATOMIC_GROUP"):
        return _of_sequence(argument[-1] if operator == "SUBPATTERN" else argument, characters)
    raise UnsafePattern("a pattern may not look back, look around or refer to what it found")


def _of_repeat(least: int, most: int, body: "sre_parse.SubPattern", characters: int) -> _Ways:
    """What is read in one way may end anywhere; else all ways of so many repetitions are counted."""
    if most > 1 and int(body.getwidth()[0]) == 0:
        raise UnsafePattern("a pattern repeats what may be empty")
    tries = tries_in_one_way(body) if most > 1 else None
    try:
        counted = _count_repeats(least, most, body, characters)
    except UnsafePattern:
        if tries is None:
            raise
        return _Ways(wide=1, choices=tries)
    return counted if tries is None else min(counted, _Ways(wide=1, choices=tries))


def _count_repeats(least: int, most: int, body: "sre_parse.SubPattern", characters: int) -> _Ways:
    """Each number of repetitions is a choice, and each repetition may be matched in any of the body's ways."""
    once, longest = _of_sequence(body, characters), min(most, characters)
    numbers = longest - min(least, longest) + 1
    if once == _Ways():
        return _Ways(choices=numbers) if numbers <= _NARROW else _Ways(wide=1)
    if longest > SURE_CHARACTERS:
        return _Ways(_MAX_WIDE + 1).checked()
    return _Ways(once.wide * longest, numbers * once.choices**longest).checked()
