"""Whether a part of a regular expression that is repeated can be read in one way only.

It can where, after each of its characters, the next one fits at most one place of the part: nowhere is there anything
to try again, so a text has as many ways to be matched as there are ends to it, as with a single repeated character.
That is determinism as in Brueggemann-Klein and Wood, "One-unambiguous regular languages" (1998), counted repeats
included. Sets of characters are compared exactly for ASCII, and by kind (digit, other letter, space, anything else)
beyond; where that does not tell two of them apart, the part counts as one that can be read in several ways.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import sre_parse
else:
    from re import _parser as sre_parse

ASCII = 128
DIGIT, LETTER, SPACE, OTHER = (1 << ASCII + kind for kind in range(4))  # each of them: all such characters beyond ASCII
BEYOND = DIGIT | LETTER | SPACE | OTHER
EVERY = (1 << ASCII) - 1 | BEYOND
Members = int
"""A set of characters: a bit for each one of ASCII, and one for each kind beyond."""


def _ascii_of(category: str) -> Members:
    return sum(1 << code for code in range(ASCII) if re.match(category, chr(code)))


CATEGORIES: dict[str, Members] = {
    "CATEGORY_DIGIT": _ascii_of(r"\d") | DIGIT,
    "CATEGORY_WORD": _ascii_of(r"\w") | DIGIT | LETTER,
    "CATEGORY_SPACE": _ascii_of(r"\s") | SPACE,
}
CATEGORIES |= {name.replace("_", "_NOT_", 1): EVERY & ~members for name, members in CATEGORIES.items()}


class _Unsure(Exception):
    """It may be possible to read the part in several ways."""


class _Read(NamedTuple):
    """How a piece is read: whether it may be empty, the characters it may begin with, the places it may end at."""

    empty: bool = True
    first: Members = 0
    last: tuple[int, ...] = ()


def tries_in_one_way(body: "sre_parse.SubPattern") -> int | None:
    """How many pieces are tried at most for one character when `body` is repeated; None where ways may be several.

    `-[a-z]+` is 1, since after a letter comes a letter or a dash; `a+` and `a|ab` are None.
    """
    if body.state.flags & (re.IGNORECASE | re.ASCII):
        return None
    reader = _Reader()
    try:
        reader.repeat(1, 2, body)
    except (_Unsure, RecursionError):
        return None
    return reader.tries


class _Reader:
    """Collects, for every place where the part takes a character, which characters may come next."""

    def __init__(self) -> None:
        self.next: list[Members] = []
        self.tries = 1

    def repeat(self, least: int, most: int, body: "sre_parse.SubPattern") -> _Read:
        once = self._sequence(body.data)
        if once.empty:
            raise _Unsure
        if most > 1:
            self._follow(once.last, once.first)
        if least == 0:
            self.tries += 1
        return once._replace(empty=least == 0)

    def _sequence(self, nodes: Sequence[Any]) -> _Read:
        whole = _Read()
        for operator, argument in nodes:
            piece = self._node(str(operator), argument)
            self._follow(whole.last, piece.first)
            whole = _Read(
                whole.empty and piece.empty,
                _apart(whole.first, piece.first) if whole.empty else whole.first,
                piece.last + (whole.last if piece.empty else ()),
            )
        return whole

    def _node(self, operator: str, argument: Any) -> _Read:  # noqa: ANN401  # a tree without types
        match operator:
            case "AT":
                return _Read()
            case "MAX_REPEAT" | "MIN_REPEAT":
                return self.repeat(int(argument[0]), int(argument[1]), argument[2])
            case "SUBPATTERN" if not argument[1] and not argument[2]:  # no flags of its own
                return self._sequence(argument[3].data)
            case "BRANCH":
                return self._branch([self._sequence(arm.data) for arm in argument[1]])
            case _:
                self.next.append(0)
                return _Read(empty=False, first=_members(operator, argument), last=(len(self.next) - 1,))

    def _branch(self, arms: Sequence[_Read]) -> _Read:
        self.tries += len(arms)
        if sum(arm.empty for arm in arms) > 1:
            raise _Unsure
        first = 0
        for arm in arms:
            first = _apart(first, arm.first)
        return _Read(any(arm.empty for arm in arms), first, tuple(place for arm in arms for place in arm.last))

    def _follow(self, places: Sequence[int], first: Members) -> None:
        for place in places:
            self.next[place] = _apart(self.next[place], first)


def _apart(one: Members, other: Members) -> Members:
    """Both sets together, which may have nothing in common."""
    if one & other:
        raise _Unsure
    return one | other


def _members(operator: str, argument: Any) -> Members:  # noqa: ANN401
    """At least the characters that this place takes."""
    match operator:
        case "LITERAL":
            return _range(argument, argument)
        case "NOT_LITERAL":
            return EVERY & ~_range(argument, argument) | BEYOND
        case "ANY":
            return EVERY
        case "IN":
            return _set(argument)
        case _:
            raise _Unsure


def _set(items: Sequence[Any]) -> Members:
    members, partly, negated = 0, 0, False
    for operator, argument in items:
        match str(operator):
            case "NEGATE":
                negated = True
            case "CATEGORY":
                members |= CATEGORIES[str(argument)]
            case "LITERAL":
                partly |= _range(argument, argument)
            case "RANGE":
                partly |= _range(*argument)
            case _:
                raise _Unsure
    if not negated:
        return members | partly
    return EVERY & ~members & ~(partly & ~BEYOND)  # of a kind beyond ASCII, a few characters are never all


def _range(low: int, high: int) -> Members:
    within = (1 << min(high + 1, ASCII)) - (1 << min(low, ASCII))
    return within | (BEYOND if high >= ASCII else 0)
