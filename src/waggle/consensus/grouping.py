"""Which answers are the same answer: equal ones become one candidate with several supporters.

Numbers are equal by value (1/2 = 0.5 = .50), other short answers by their letters (case, space and punctuation
folded), long free text only to its copy (white space apart). Knows nothing of who wrote an answer or of its quality.
Invariants: groups keep first-seen order; every answer with any text is in exactly one group; shuffling the answers
gives the same groups. Cost is bounded whatever a stranger sends: nothing longer than `FREE_TEXT_CHARS` is folded,
nothing longer than `NUMBER_CHARS` is read as a number.
"""

import re
import unicodedata
from collections.abc import Sequence
from fractions import Fraction

from msgspec import Struct

NUMBER_CHARS = 64
"""No honest short answer is a longer number; Python's own digit conversion is quadratic."""
EXPONENT_LIMIT = 64
"""1e999999999 as an exact rational would need 400 MB."""
FREE_TEXT_CHARS = 200
"""Above this an answer is an essay: the same sense in the same words does not happen by chance."""

_MINUS_AND_QUOTES = str.maketrans({"−": "-", "–": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "⁄": "/"})
_UNSIGNED = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+"
_NUMBER = re.compile(rf"([+-]?)({_UNSIGNED})(?:e([+-]?[0-9]{{1,4}}))?")
_FRACTION = re.compile(rf"([+-]?)({_UNSIGNED}) ?/ ?({_UNSIGNED})")
_OPERATOR_SPACE = re.compile(r" ?([=%/^*<>+|]) ?|(?<=\w) (-) (?=\w)")
_SEPARATORS = re.compile(r"[,;:'\"`_$\s]+|(?<![0-9])\.|\.(?![0-9])|(?<=[^\W\d_])[!?]+|(?<=[^\W\d_])-(?=[^\W\d_])")
_ROUND_BRACKETS = re.compile(r"\(?([^()\[\]{}]*)\)?")
_MARKUP = " *_`$\"'"


class Group(Struct, frozen=True, kw_only=True):
    """Equal answers. `answer` is the first one's text, `members` the positions of all, ascending."""

    answer: str
    members: tuple[int, ...]


def canonical_answer(text: str, *, marker: str | None = None) -> str | None:
    """The form in which equal answers are equal strings.

    Args:
        text: the answer, or a whole completion that ends in one.
        marker: where the engine declares one, only what follows its last occurrence counts. A text without the
            marker is taken to be cut already.

    Returns:
        "1/2", "0.5" and ".50" -> "number:1/2"; " The Cat." and "the cat" -> "text:the cat"; above
        `FREE_TEXT_CHARS` characters "free:" and the text with single spaces; None where there is no text.
    """
    answer = (text.rpartition(marker)[2] if marker else text).strip()
    if not answer:
        return None
    if len(answer) > FREE_TEXT_CHARS:
        return f"free:{' '.join(answer.split())}"
    plain = " ".join(unicodedata.normalize("NFKC", answer).translate(_MINUS_AND_QUOTES).casefold().split())
    number = _exact_number(plain.strip(_MARKUP))
    return f"number:{number}" if number is not None else f"text:{_folded(plain)}"


def group_answers(answers: Sequence[str | None], *, marker: str | None = None) -> list[Group]:
    """Put equal answers together, in the order in which each group was first seen.

    Args:
        answers: one per proposal; None and blank ones form no candidate.
        marker: as in `canonical_answer`.

    Returns:
        ["0.5", "cat", None, "1/2"] -> [Group("0.5", (0, 3)), Group("cat", (1,))].
    """
    keys = [None if answer is None else canonical_answer(answer, marker=marker) for answer in answers]
    members: dict[str, list[int]] = {}
    for position, key in enumerate(keys):
        if key is not None:
            members.setdefault(key, []).append(position)
    return [Group(answer=str(answers[positions[0]]), members=tuple(positions)) for positions in members.values()]


def _exact_number(plain: str) -> Fraction | None:
    """The value of a decimal, a number with thousands commas or a fraction of two; None for anything else."""
    bare = plain[:-1] if plain.endswith(".") else plain
    if len(bare) > NUMBER_CHARS:
        return None
    if match := _NUMBER.fullmatch(bare):
        sign, digits, exponent = match.groups(default="")
        if abs(int(exponent or "0")) > EXPONENT_LIMIT:
            return None
        return _signed(sign, _decimal(digits) * Fraction(10) ** int(exponent or "0"))
    if match := _FRACTION.fullmatch(bare):
        sign, above, below = match.groups()
        return _signed(sign, _decimal(above) / _decimal(below)) if _decimal(below) else None
    return None


def _decimal(digits: str) -> Fraction:
    whole, _, part = digits.replace(",", "").partition(".")
    return Fraction(int(whole + part or "0"), 10 ** len(part))


def _signed(sign: str, value: Fraction) -> Fraction:
    return -value if sign == "-" else value


def _folded(plain: str) -> str:
    """Letters, digits and operators; an answer that is nothing but punctuation stays as it is.

    Operators are kept: folding them would make x+1 and x-1 equal. So are [ ) and the like, but round brackets
    around the whole answer go: (b) = b) = b.
    """
    tight = _OPERATOR_SPACE.sub(r"\1\2", plain.strip(_MARKUP))
    whole = _ROUND_BRACKETS.fullmatch(tight)
    return " ".join(_SEPARATORS.sub(" ", whole.group(1) if whole else tight).split()) or plain
