"""Patterns of strangers: what may stall is refused, and what is called quick is quick."""

import random
import re
import time

import pytest

from waggle.gateway.structured.patterns import UnsafePattern, check_pattern, is_quick


@pytest.mark.parametrize(
    "pattern",
    ["^(a+)+$", "(a|a)*b", "(a|aa)*c", "(.*)(.*)(.*)(.*)(.*)x", r"(a)\1", "(?=a)", "(?<!a)b", "(a?){40}", "(?:){9}",
     "(", r"\p{L}", "[[a]" * 65, "(a{1,9}){1,99}", "a" * 257,
     "(?i:(a+A)*)", "(?i)(k+\N{KELVIN SIGN})*"],
)  # fmt: skip
def test_a_pattern_that_may_stall_is_refused(pattern: str) -> None:
    with pytest.raises(UnsafePattern):
        check_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    [r"^\d{4}-\d{2}-\d{2}$", r"^[a-z0-9._%+-]+@[a-z0-9.-]+\.[a-z]{2,}$", r"^(\d{1,3}\.){3}\d{1,3}$", "^https?://.*$",
     "^(red|green|blue)$", "^[A-Z]{2,5}-[0-9]+$", "", "a*?b", "(?i:yes|no)",
     "^[a-z]+(-[a-z]+)*$", "(a|ab)*c", "(?i)^(yes|no)$"],
)  # fmt: skip
def test_an_ordinary_pattern_is_served(pattern: str) -> None:
    check_pattern(pattern)


@pytest.mark.parametrize("pattern", ["a*a*b", "^a*a*a*b", "a*b", "^a*a*" + "a" * 200 + "b", "(a|a)" * 9 + "b", ".*.*x"])
def test_what_is_called_quick_is_quick(pattern: str) -> None:
    characters = max(n for n in (64, 128, 256, 512, 700) if is_quick(pattern, n))
    began = time.thread_time()
    assert re.search(pattern, "a" * characters) is None
    assert time.thread_time() - began < 1.0


def test_patterns_drawn_at_random_are_refused_or_quick() -> None:
    draw = random.Random(7)
    parts = ["a", "b", ".", "[ab]", "(a|b)", "(a)", "(ab|a)", "a+", "a*", "b?", "(?:a+)", "(a{1,3})", "(ba+)", "(ba*)"]
    served = 0
    for _ in range(400):
        pattern = "".join(draw.choice(parts) + draw.choice(["", "", "*", "+", "{2,5}", "?"]) for _ in range(5))
        try:
            check_pattern(pattern + "c")
        except UnsafePattern:
            continue
        served += 1
        began = time.thread_time()
        re.search(pattern + "c", "ab" * 16 + "a" * 32)
        assert time.thread_time() - began < 1.0, pattern
    assert served > 20
