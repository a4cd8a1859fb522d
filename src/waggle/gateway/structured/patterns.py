r"""Regular expressions of strangers, run by RE2: a search takes as long as expression and text are long, never longer.

Expressions are those of JSON Schema (ECMA-262), as far as RE2 has them: `\d`, `\w` and `\b` know ASCII alone, `\s` is
every space, `$` the very end. What looks back or around or refers to what was found is refused, and so is what repeats
something more than 1,000 times. Knows nothing of JSON.
"""

import re
from collections.abc import Iterable
from typing import Protocol, cast

import re2

MAX_PATTERN_CHARACTERS = 256
MAX_STEPS = 50_000_000
"""Instructions of an expression times bytes of a text: some 10 ns each where RE2 has to try all of them."""
LARGE = 8_000
"""Instructions from which on an expression counts as several: to make so many takes some 10 ms."""
SPACES = r"\t-\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}"
OTHERS = (
    r"\x{0}-\x{8}\x{e}-\x{1f}!-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}"
    r"\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff}"
)
"""All but the spaces, for `\\S` among other characters."""
_MARKS = re.compile(r"\\u[0-9a-fA-F]{4}|\\.|\[\^?\]?|\]", re.DOTALL)
_OPTIONS = re2.Options()
_OPTIONS.max_mem = 1024 * 1024  # of one expression: RE2 keeps the last 128
_OPTIONS.log_errors = False
_OPTIONS.never_capture = True


class UnsafePattern(ValueError):
    """The expression is broken, or too large."""


class _Program(Protocol):
    """What RE2 made of an expression."""

    @property
    def programsize(self) -> int: ...
    def search(self, text: bytes) -> object | None: ...


def check_patterns(patterns: Iterable[str], most: int) -> int:
    """Raise UnsafePattern unless all of them can be run, and are not more than so many; gives their number.

    Equal ones count once, a large one counts as several.
    """
    number = 0
    for pattern in dict.fromkeys(patterns):
        if len(pattern) > MAX_PATTERN_CHARACTERS:
            raise UnsafePattern(f"a pattern has more than {MAX_PATTERN_CHARACTERS} characters")
        number += 1 + _compiled(pattern).programsize // LARGE
        if number > most:
            raise UnsafePattern(f"there are more than {most} patterns, where a large one counts as several")
    return number


def fits(pattern: str, text: str) -> bool:
    """Whether a part of the text is what a checked pattern says; no, where that would take too long to find out."""
    program, searched = _compiled(pattern), text.encode(errors="surrogatepass")
    return program.programsize * len(searched) <= MAX_STEPS and program.search(searched) is not None


def _compiled(pattern: str) -> _Program:
    try:
        return cast(_Program, re2.compile(_translated(pattern).encode(errors="surrogatepass"), _OPTIONS))
    except re2.error as error:
        if b"repetition size" in error.args[0] or b"too large" in error.args[0]:
            raise UnsafePattern("a pattern is too large, or repeats something more than 1,000 times") from None
        message = "a pattern is no regular expression that can be used here: none may look back or around"
        raise UnsafePattern(message) from None


def _translated(pattern: str) -> str:
    """What ECMA-262 writes or means otherwise than RE2, in RE2's words."""
    within = False  # a set of characters

    def mark(found: re.Match[str]) -> str:
        nonlocal within
        text = found[0]
        if text.startswith("\\u") and len(text) > 2:
            return f"\\x{{{text[2:]}}}"
        if text in (r"\s", r"\S"):
            among = SPACES if text == r"\s" else OTHERS
            return among if within else f"[{among}]"
        if text[0] == "[" and within:  # no set within a set: RE2 would read [[:alpha:]] as one of POSIX
            within = not text.endswith("]")
            return f"\\{text}"
        if text[0] in "[]":
            within = text[0] == "["
        return text

    return _MARKS.sub(mark, pattern)
