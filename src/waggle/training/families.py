"""The kinds of question the hive works on: nine reasoning-gym tasks, their settings, and a worked trace for each.

The question text and the scorer are reasoning-gym's own, unmodified. What is ours is the *trace*: the short working
that leads from question to answer, written so that every step is a look-up or a copy a very small model can learn.
Traces are derived from the question text alone; none may look at the answer.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

Trace = Callable[[str], str]


@dataclass(frozen=True)
class Family:
    """One kind of question: the reasoning-gym data set behind it, its settings, and how to work it."""

    name: str
    dataset: str
    trace: Trace
    settings: dict[str, object] = field(default_factory=dict)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"-?\d+", text)]


def spell_backward(question: str) -> str:
    """Number the letters, then read them from the last number down: `0c1a2t 2t1a0c`."""
    word = question.rsplit(": ", 1)[1].strip()
    forward = [f"{index}{letter}" for index, letter in enumerate(word)]
    return "".join(forward) + " " + "".join(reversed(forward))


def letter_counting(question: str) -> str:
    """Copy the letters and put the running count behind each match: `ne1e2d`."""
    target, text = re.findall(r'"(.*?)"', question)
    steps, count = [], 0
    for letter in text.lower().replace(" ", ""):
        count += letter == target
        steps.append(f"{letter}{count}" if letter == target else letter)
    return "".join(steps)


def count_bits(question: str) -> str:
    """Halve until nothing is left and count the odd numbers on the way: `5:1 2:1 1:2`."""
    number, count, steps = _numbers(question)[-1], 0, []
    while number:
        count += number % 2
        steps.append(f"{number}:{count}")
        number //= 2
    return " ".join(steps)


def count_primes(question: str) -> str:
    """Move both ends inward to primes, then list from one to the other: `11 to 17: 1:11 2:13 3:17`."""
    first, last = _numbers(question)
    low = next(n for n in range(first, 2 * last + 3) if _is_prime(n))
    high = next((n for n in range(last, 1, -1) if _is_prime(n)), 0)
    listed = [f"{index}:{n}" for index, n in enumerate(filter(_is_prime, range(low, high + 1)), 1)]
    return f"{low} to {high}: {' '.join(listed) or 'none'}"


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))


def chain_sum(question: str) -> str:
    """Keep a running total, each found column by column: `17 + 25: 7+5+0=12 1+2+1=4 = 42`."""
    parts = question.split(": ", 1)[1].rstrip(" =").split(" ")
    total, steps = int(parts[0]), []
    for operator, term in zip(parts[1::2], parts[2::2], strict=True):
        change = int(term) if operator == "+" else -int(term)
        steps.append(f"{total} {operator} {term}: {_columns(total, change)} = {total + change}")
        total += change
    return ", ".join(steps)


def _columns(a: int, b: int) -> str:
    """a + b from the units up. Same signs: digits and carry are added. Else the smaller is taken from the larger."""
    large, small = max(abs(a), abs(b)), min(abs(a), abs(b))
    add, carry = a * b >= 0, 0
    steps: list[str] = []
    while large or not steps:
        x, y = large % 10, small % 10
        if add:
            value = x + y + carry
            steps.append(f"{x}+{y}+{carry}={value}")
        else:
            x += 10 * (x < y + carry)
            value = x - y - carry
            steps.append(f"{x}-{y}-{carry}={value}")
        carry = value // 10 if add else x // 10
        large, small = large // 10, small // 10
    return " ".join(steps)


def simple_equations(question: str) -> str:
    """Bring the constant over, column by column, then divide: `8*t = 14 + 2: 4+2+0=6 1+0+0=1 = 16, t = 16 / 8`."""
    equation = question.split(": ", 1)[1]
    left, right = equation.split(" = ")
    letter = re.findall(r"[a-z]", left)[0]
    factor, constant = 0, 0
    for sign, term in re.findall(r"(^|[+-]) ?([^ ]+)", left):
        value = -1 if sign == "-" else 1
        for part in term.split("*"):
            value *= 1 if part == letter else int(part)
        factor, constant = (factor + value, constant) if letter in term else (factor, constant + value)
    moved = int(right) - constant
    sign = "-" if constant >= 0 else "+"
    columns = _columns(int(right), -constant)
    return f"{factor}*{letter} = {right} {sign} {abs(constant)}: {columns} = {moved}, {letter} = {moved} / {factor}"


def weekday_offset(question: str) -> str:
    """Drop whole weeks digit by digit, then step from day to day: `17: 3 + 0 = 3 on 0 Tuesday 1 Wednesday ...`."""
    start = next(word for word in re.findall(r"[A-Z][a-z]+", question) if word in WEEKDAYS)
    days = int(re.findall(r"(\d+)[ -]days?\b", question)[0])
    backward = any(word in question for word in (" ago", " before", "backward"))
    step = -1 if backward else 1
    here = WEEKDAYS.index(start)
    walk = [f"{index} {WEEKDAYS[(here + step * index) % 7]}" for index in range(days % 7 + 1)]
    tens, units = days // 10 * 10 % 7, days % 10 % 7
    return f"{days}: {tens} + {units} = {days % 7} {'back' if backward else 'on'} {' '.join(walk)}"


def syllogism(question: str) -> str:
    """Name the conclusion's terms S and P, the remaining one M, and put its letter behind every term."""
    lines = question.split("\n")
    statements = [lines[1][3:], lines[2][3:], lines[5].rstrip("?")]
    terms = [_statement(text) for text in statements]
    subject, predicate = terms[2][1:]
    names = {subject: "S", predicate: "P"}
    forms = [f"{form} {a} {names.get(a, 'M')} {b} {names.get(b, 'M')}" for form, a, b in terms]
    return f"= {subject} S {predicate} P, " + ", ".join(forms)


def _statement(text: str) -> tuple[str, str, str]:
    """`Some dogs are not cats` -> (`Not`, `dogs`, `cats`)."""
    form, subject, rest = re.fullmatch(r"(All|No|Some) (\w+) are (.+)", text).groups()  # type: ignore[union-attr]
    return ("Not", subject, rest[4:]) if rest.startswith("not ") else (form, subject, rest)


def siblings(question: str) -> str:
    """Whoever is asked about has one more: the woman of the story herself. `4 + 1`."""
    kind = "female friends" if "friends" in question else "sisters"
    count = int(re.findall(rf"(\d+) {kind}", question)[0])
    return f"{count} {kind} + 1"


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("spell_backward", "spell_backward", spell_backward, {"min_word_len": 3, "max_word_len": 10}),
        Family("letter_counting", "letter_counting", letter_counting, {"min_words": 3, "max_words": 6}),
        Family("count_bits", "count_bits", count_bits, {"min_n": 1, "max_n": 2500}),
        Family("count_primes", "count_primes", count_primes, {"max_n": 80}),
        Family("chain_sum", "chain_sum", chain_sum, {"min_terms": 2, "max_terms": 3, "max_digits": 2}),
        Family("equations", "simple_equations", simple_equations, {"min_terms": 2, "max_terms": 2, "max_value": 10}),
        Family("weekdays", "calendar_arithmetic", weekday_offset, {"tasks": ["weekday_offset"]}),
        Family("syllogisms", "syllogism", syllogism, {"invalid_ratio": 0.5, "inversion_probability": 0.3}),
        Family("siblings", "aiw", siblings, {"task_type_weights": [0.5, 0.5, 0.0]}),
    )
}
