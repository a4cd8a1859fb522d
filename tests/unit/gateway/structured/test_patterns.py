"""Patterns of strangers: what they mean, which are refused, and that no search takes long."""

import random
import re
import sys
import time
from contextlib import suppress

import pytest

from waggle.gateway.structured.patterns import LARGE, MAX_STEPS, UnsafePattern, _compiled, check_patterns, fits

SEMVER = (
    r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
    r"(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$"
)
SPACES = "\t\n\v\f\r \xa0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        *((broken, "no regular expression") for broken in (
            r"(a)\1", "(?=a)b", "(?!a)b", "(?<=a)b", "(?<!a)b", "(", "a++", "(?>a)", r"(?P<n>a)(?P=n)", "*", r"[a-\d]",
            r"\p{Nonsense}",
        )),
        *((large, "too large, or repeats") for large in (
            "a{1001}", "a{0,1001}", "(a{100}){11}", "(a{1,40}){1,40}", r"(?i)[^\p{L}]{1000}",
        )),
        ("a" * 257, "more than 256 characters"),
    ],
)  # fmt: skip
def test_a_pattern_that_cannot_be_run_is_refused_with_the_reason(pattern: str, why: str) -> None:
    with pytest.raises(UnsafePattern, match=why):
        check_patterns([pattern], 1)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (r"^\d{4}-\d{2}-\d{2}$", ["2026-01-31"], ["2026-1-31", "2026-01-31\n", "٢٠٢٦-01-31"]),
        (r"^[a-z0-9._%+-]+@[a-z0-9.-]+\.[a-z]{2,}$", ["ann@bee.example"], ["ann@bee"]),
        (r"^(\d{1,3}\.){3}\d{1,3}$", ["10.0.0.7"], ["10.0.7"]),
        ("^(red|green|blue)$", ["red"], ["reddish"]),
        ("(?i)^(yes|no)$", ["YES"], ["yess"]),
        ("(?i:a)b", ["xAb"], ["AB"]),
        ("a*?b", ["aab"], ["aa"]),
        ("", ["", "x"], []),
        ("^[a-z]+(-[a-z]+)*$", ["ab-c-def", "a-" * 20_000 + "a"], ["ab--c"]),
        (r"^\w+(\s+\w+)*$", ["two words", "two\xa0words"], [" two", "zwei Wörter"]),
        (r'^"([^"\\]|\\.)*"$', [r'"a\"b"', '"é"'], ['"a"b"']),
        (SEMVER, ["1.20.3", "1.0.0-alpha.1+build.5"], ["1.2", "01.2.3", "1.0.0-"]),
        (r"^[\u4e00-\u9fa5é]+$", ["蜂é"], ["bee"]),
        (r"^\p{L}+$", ["Wörter", "蜂"], ["2"]),
        (r"^(?<year>\d+)\/x$", ["26/x"], ["/x"]),
        ("^[[:alpha:]]$", ["[]", "a]"], ["b", "x"]),
        (r"^[]a[^]$", ["]", "[", "^"], ["b"]),
        (r"^[^\S\n]$", ["\t", "\xa0"], ["\n", "a"]),
        ("^(a+)+$", ["a" * 60_000], ["a" * 50_000 + "b"]),
        ("(a|a)*(a|aa)*c", ["aac"], ["a" * 60_000]),
        ("^.\ud800$", ["a\ud800"], ["\n\ud800"]),
    ],
)
def test_a_pattern_means_what_json_schema_says(pattern: str, yes: list[str], no: list[str]) -> None:
    assert check_patterns([pattern], 1) == 1
    assert [text for text in yes if not fits(pattern, text)] == []
    assert [text for text in no if fits(pattern, text)] == []


def test_every_character_is_a_space_or_none() -> None:
    for character in map(chr, [*range(0x3100), *range(0xFE00, 0x1_0000), sys.maxunicode]):
        is_space = character in SPACES or "\u2000" <= character <= "\u200a"
        assert [fits(pattern, character) for pattern in (r"^\s$", r"^[\s]$", r"^[^\S]$")] == [is_space] * 3
        assert [fits(pattern, character) for pattern in (r"^\S$", r"^[\S]$", r"^[^\s]$")] == [not is_space] * 3


def test_equal_patterns_count_once_and_large_ones_as_several() -> None:
    assert check_patterns(["a", "b", "a"], 2) == 2
    assert check_patterns([".{1000}"], 2) == 1 + _compiled(".{1000}").programsize // LARGE == 2
    with pytest.raises(UnsafePattern, match="more than 2 patterns"):
        check_patterns(["a", ".{1000}"], 2)


@pytest.mark.parametrize(
    "pattern", ["[ab]{1,900}a[ab]{1,900}c", "(a?){999}(a){999}b", r"(\w{3,9}|.*(^)){0,30}[ab]{1000}x"]
)
def test_a_search_that_might_take_long_is_not_made(pattern: str) -> None:
    longest = MAX_STEPS // _compiled(pattern).programsize
    began = time.thread_time()
    assert not fits(pattern, "ab" * (longest // 2))
    assert time.thread_time() - began < 2.0  # some 0.5
    assert not fits(pattern, "abc" * longest)
    assert fits(f"(?:{pattern})?", "a")


def test_patterns_drawn_at_random_are_refused_or_quick_and_mean_what_python_says() -> None:
    draw = random.Random(7)
    parts = ["a", "b", ".", "[ab]", "(a|b)", "(a)", "(ab|a)", "a+", "a*", "b?", "(?:a+)", "(a{1,3})", "(ba+)", "(ba*)"]
    for _ in range(400):
        pattern = "".join(draw.choice(parts) + draw.choice(["", "", "*", "+", "{2,5}"]) for _ in range(4))
        try:
            check_patterns([pattern], 1)
        except UnsafePattern:
            continue
        text = "".join(draw.choice("ab") for _ in range(draw.randint(0, 9)))
        assert fits(pattern, text) == bool(re.search(pattern, text)), (pattern, text)
        began = time.thread_time()
        fits(pattern + "c", "ab" * 8_000 + "a" * 8_000)
        assert time.thread_time() - began < 1.0, pattern


def test_a_hostile_pattern_is_told_soon() -> None:
    hostile = ["(" * 60 + "a" + ")+" * 60, "a?" * 128, "(" * 40 + "a?b?c?-" + ")+" * 40, r"\p{L}" * 51, r"(?i)\PL{999}"]
    hostile += [r"\pL|" * 60 + "a", "(?i)(ﬀ|ſ|k){99}", "[^x]{999}" * 25, "(?i)[" + r"\pL" * 60 + "]{20}"]
    for pattern in hostile:
        began = time.thread_time()
        with suppress(UnsafePattern):
            check_patterns([pattern], 99)
        assert time.thread_time() - began < 1.0, pattern  # some 0.05
