"""What is said to be readable in one way only has one way, counted out; and ordinary repeats are said to be."""

import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from waggle.gateway.structured.patterns import MAX_STEPS, UnsafePattern, check_pattern, is_quick, most_steps
from waggle.gateway.structured.repeats import tries_in_one_way

if TYPE_CHECKING:
    import sre_parse
else:
    from re import _parser as sre_parse


def in_one_way(pattern: str) -> bool:
    return tries_in_one_way(sre_parse.parse(pattern)) is not None


def ends(node: Any, text: str, start: int) -> Iterator[int]:  # noqa: ANN401  # a tree without types
    """Where a match that begins here may end: each way of matching once, as a search that goes back tries them."""
    operator, argument = str(node[0]), node[1]
    match operator:
        case "SUBPATTERN":
            yield from ends_of(argument[3].data, text, start)
        case "BRANCH":
            for arm in argument[1]:
                yield from ends_of(arm.data, text, start)
        case "MAX_REPEAT" | "MIN_REPEAT":
            yield from ends_of_repeat(int(argument[0]), int(argument[1]), argument[2].data, text, start)
        case "AT":
            yield start
        case _:
            state = sre_parse.State()
            one = re._compiler.compile(sre_parse.SubPattern(state, [node]))  # type: ignore[attr-defined]
            if one.match(text, start):
                yield start + 1


def ends_of(nodes: list[Any], text: str, start: int) -> Iterator[int]:
    if not nodes:
        yield start
        return
    for middle in ends(nodes[0], text, start):
        yield from ends_of(nodes[1:], text, middle)


def ends_of_repeat(least: int, most: int, nodes: list[Any], text: str, start: int) -> Iterator[int]:
    if least <= 0:
        yield start
    if most > 0:
        for middle in ends_of(nodes, text, start):
            if middle > start:
                yield from ends_of_repeat(least - 1, most - 1, nodes, text, middle)


@pytest.mark.parametrize(
    "body",
    ["-[a-z]+", "a|bc", "a|ab", r"\.\d+", r"\s+\w+", "[A-Z][a-z]*", r"\.(?:0|[1-9]\d*)", r"[^\"\\]|\\.", ",[^,]+",
     r"[a-z0-9]+(-[a-z0-9]+)*\.", "[a-z]{1,63}-", "a?b", "(?:a|b|)c", "é+-", r"\d+[^\d]", r"\bword ", "a", "[^/]*/"],
)  # fmt: skip
def test_what_has_one_way_is_told(body: str) -> None:
    assert in_one_way(body)


@pytest.mark.parametrize(
    "body",
    ["a+", "(a+)", "a|aa", "a+-?", "-?a+", r"[.-]?\w+", "a?", "a*", "", "a?b?", "(a?|b?)c", "(a?)?b", "((a*)*b)", ".|a",
     ".*x", "a{1,2}", "[a-z]{1,63}", r"\d+[^0-9]", "é+à", "ﬀ+\N{KELVIN SIGN}", r"\w+ſ", "[^a]|[^b]", "[^é]+é",
     "[^éà]+ß", "(?i)a+A", "(?a)\\w+é", "a(?=b)", r"(a)\1", "(?>a)", "a++b", "(?i:a)b", "(?s:.)", "(a+b?)c|ad"],
)  # fmt: skip
def test_what_may_have_several_ways_is_not_trusted(body: str) -> None:
    assert not in_one_way(body)


def bodies(draw: random.Random, depth: int = 2) -> str:
    """A pattern drawn from few characters, so that its parts often overlap."""
    parts = ["a", "b", "-", "[ab]", "[^a]", r"\w", r"\W", "[b-]", "."]
    if depth:
        inner = bodies(draw, depth - 1)
        parts += [f"({inner})", f"({inner}|{bodies(draw, depth - 1)})", f"({inner}|)"] * 2
    return "".join(
        draw.choice(parts) + draw.choice(["", "", "", "?", "*", "+", "{1,2}", "*?"]) for _ in range(draw.randint(1, 3))
    )


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_no_text_can_be_read_in_two_ways_where_one_is_promised() -> None:
    draw = random.Random(11)
    texts = ["".join(letters) for length in range(1, 6) for letters in product("ab-", repeat=length)]
    told = tricky = 0
    for _ in range(3_000):
        tree = sre_parse.parse(body := bodies(draw))
        if tries_in_one_way(tree) is None:
            continue
        told += 1
        tricky += any(mark in body for mark in "|*+?{")
        for text in texts[-243::5] + texts[:40]:
            found = Counter(ends_of_repeat(1, 9, tree.data, text, 0))
            assert set(found.values()) <= {1}, (body, text, found)
    assert told > 150
    assert tricky > 80


def test_kinds_beyond_ascii_have_nothing_in_common() -> None:
    for character in map(chr, range(128, sys.maxunicode + 1)):
        if character.isspace():
            assert not re.match(r"\w", character)
        elif character.isdecimal():
            assert re.match(r"\d", character)
            assert re.match(r"\w", character)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("^[a-z]+(-[a-z]+)*$", "ab-c-def", "ab--c"),
        (r"^[a-z0-9]+(?:[_-][a-z0-9]+)*$", "a_b-9", "-a"),
        (r"^\w+(\s+\w+)*$", "two words", " two"),
        (r"^([a-z0-9]+(-[a-z0-9]+)*\.)+[a-z]{2,}$", "a-b.example.org", "a..org"),
        (r"^\d+(\.\d+)*$", "1.20.3", "1..2"),
        (r'^"([^"\\]|\\.)*"$', r'"a\"b"', '"a"b"'),
        (r"^/([^/]+/)*[^/]*$", "/a/b/c", "a//b"),
    ],
)
def test_an_ordinary_repeat_is_served_and_quick_on_long_texts(pattern: str, yes: str, no: str) -> None:
    check_pattern(pattern)
    assert re.search(pattern, yes)
    assert not re.search(pattern, no)
    assert is_quick(pattern, 200)
    stem = re.sub(r"\W", "", yes)
    for text in (stem * 100, (yes + "-") * 50, "a" * 199, "a-" * 99, "1." * 99, "/a" * 99, '"\\' * 99):
        assert seconds_of(pattern, text[:199] + "!\n") < 0.5


def seconds_of(pattern: str, text: str) -> float:
    began = time.thread_time()
    re.search(pattern, text)
    return time.thread_time() - began


@pytest.mark.parametrize(
    "pattern", ["^(-[a-z]+)*(-[a-z]+)*(-[a-z]+)*x", "(a[bc]*)*x", "((a|b|c|d|e|f)g)*x", "(.-)*(.-)*"]
)
def test_what_is_called_quick_is_quick_with_groups_too(pattern: str) -> None:
    characters = max(n for n in range(64, 4_096) if most_steps(pattern, n) <= MAX_STEPS)
    for text in ("-a", "a", "ab", "ag", "-z-", "a-"):
        assert seconds_of(pattern, (text * characters)[:characters]) < 1.0


def test_a_hostile_pattern_is_told_soon() -> None:
    hostile = ["(" * 60 + "a" + ")+" * 60, "a?" * 128, "(" + "a?b?" * 60 + "c)*", "(" * 40 + "a?b?c?-" + ")+" * 40]
    hostile += [
        "(" + "|".join(chr(33 + n) for n in range(90) if chr(33 + n).isalnum()) + ")*x",
        "(a|" * 80 + "b" + ")*" * 80,
    ]
    for pattern in hostile:
        began = time.thread_time()
        with suppress(UnsafePattern):
            check_pattern(pattern)
        assert time.thread_time() - began < 1.0  # some 0.02
