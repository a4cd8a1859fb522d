"""Answers that have to be JSON: what is given out fits, what does not is never an answer, and every check ends."""

import json
import random
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waggle.core.chat_values import Role, Turn
from waggle.gateway.errors import ApiError
from waggle.gateway.json_answers import JsonFormat, answer_in_json, read_format, read_json, with_schema
from waggle.gateway.json_faults import find_fault
from waggle.gateway.json_patterns import UnsafePattern, check_pattern, is_quick
from waggle.gateway.json_schemas import BadSchema, check_schema

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
GOOD = '{"name": "Ada", "age": 36}'
ASKED = (Turn(role=Role.USER, content="Who?"),)


@dataclass(frozen=True)
class Said:
    text: str | None


def saying(*texts: str | None) -> Callable[[tuple[Turn, ...], tuple[Said, ...]], Awaitable[Said | None]]:
    """Writes these texts one after the other, and nothing after the last."""

    async def write(turns: tuple[Turn, ...], written: tuple[Said, ...]) -> Said | None:
        return Said(texts[len(written)]) if len(written) < len(texts) else None

    return write


async def test_an_answer_that_fits_is_given_out() -> None:
    made = await answer_in_json(JsonFormat(PERSON), ASKED, saying(GOOD))
    assert (made.text, made.value) == (GOOD, {"name": "Ada", "age": 36})
    assert made.written == (Said(GOOD),)


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{GOOD}\n```",
        f"Here it is:\n```\n{GOOD}\n```\nAs you wished.",
        f"  {GOOD}\n",
        f"<think>```json\n{{}}\n``` or so?</think>\n{GOOD}",
    ],
)
def test_json_is_taken_out_of_a_fence_and_after_a_thought(text: str) -> None:
    assert read_json(text, JsonFormat(PERSON))[0] == GOOD


@pytest.mark.parametrize(
    "text",
    [
        "",
        "36",
        "The answer is " + GOOD,
        '{"name": "Ada"}',
        '{"name": "Ada", "age": -1}',
        '{"name": "Ada", "age": 36, "more": 1}',
        '{"name": "Ada", "age": 36, "age": 37}',
        '{"name": "Ada", "age": NaN}',
        '{"name": "Ada", "age": 1e999}',
        '{"name": "Ada", "age": 1' + "0" * 400 + "}",
        '{"name": "Ada", "age": 36',
        '{"name": "Ada", "age": 36}}',
        "[" * 100_000,
        "[" * 40 + "]" * 40,
        '{"name": "' + "a" * 70_000 + '", "age": 1}',
        "\ud800",
    ],
)
async def test_an_answer_that_does_not_fit_is_never_given_out(text: str) -> None:
    with pytest.raises(ApiError) as failed:
        await answer_in_json(JsonFormat(PERSON), ASKED, saying(text, text, text))
    assert (failed.value.status, failed.value.code) == (422, "json_invalid")


async def test_it_is_asked_again_and_told_what_was_wrong() -> None:
    shown: list[tuple[Turn, ...]] = []
    say = saying('{"name": "Ada"}', GOOD)

    async def write(turns: tuple[Turn, ...], written: tuple[Said, ...]) -> Said | None:
        shown.append(turns)
        return await say(turns, written)

    made = await answer_in_json(JsonFormat(PERSON), ASKED, write)
    assert made.text == GOOD
    assert len(made.written) == 2
    assert "refused" not in shown[0][0].content
    assert "'required' does not hold" in shown[1][0].content
    assert all(turns[-1] == ASKED[0] for turns in shown)


async def test_it_is_asked_as_often_as_allowed_and_no_more() -> None:
    asked = []

    async def write(turns: tuple[Turn, ...], written: tuple[Said, ...]) -> Said | None:
        asked.append(len(written))
        return Said("no")

    with pytest.raises(ApiError, match="in 2 tries"):
        await answer_in_json(JsonFormat(), ASKED, write, tries=2)
    assert asked == [0, 1]


async def test_it_ends_where_the_budget_does() -> None:
    with pytest.raises(ApiError, match="in 1 tries"):
        await answer_in_json(JsonFormat(), ASKED, saying("no"), tries=9)


async def test_without_a_schema_any_object_will_do_and_nothing_else() -> None:
    made = await answer_in_json(JsonFormat(), ASKED, saying("[1]", '"{}"', '{"a": [1]}'))
    assert made.value == {"a": [1]}


def test_the_schema_joins_the_instructions_that_are_there() -> None:
    told = with_schema((Turn(role=Role.SYSTEM, content="Be brief."), *ASKED), JsonFormat(PERSON))
    assert [turn.role for turn in told] == [Role.SYSTEM, Role.USER]
    assert told[0].content.startswith("Be brief.\n\n")
    assert json.dumps(PERSON) in told[0].content


@pytest.mark.parametrize(
    ("form", "schema"),
    [
        ({"type": "json_object"}, None),
        ({"type": "json_schema", "json_schema": {"name": "a", "schema": PERSON}}, PERSON),
        ({"type": "json_schema", "name": "a", "schema": PERSON}, PERSON),
    ],
)
async def test_both_ways_to_ask_for_a_form_are_read(form: object, schema: object) -> None:
    found = await read_format(form, "response_format")
    assert found == JsonFormat(schema)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", [None, {"type": "text"}])
async def test_plain_text_is_no_form(form: object) -> None:
    assert await read_format(form, "response_format") is None


@pytest.mark.parametrize(
    "form", [{"type": "json_schema"}, {"type": "json_schema", "json_schema": {"name": "a"}}, {"type": "xml"}, {}, 3]
)
async def test_a_form_that_is_none_is_refused(form: object) -> None:
    with pytest.raises(ApiError) as failed:
        await read_format(form, "response_format")
    assert (failed.value.status, failed.value.param) == (400, "response_format")


async def test_a_bad_schema_is_refused_before_anybody_is_asked() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "objekt"}}}
    with pytest.raises(ApiError) as failed:
        await read_format(form, "response_format")
    assert (failed.value.status, failed.value.code) == (400, "invalid_json_schema")


# --- schemas of strangers -------------------------------------------------------------------------------------------

DOUBLING = {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(14)} | {"a14": {}}
HOSTILE: dict[str, dict[str, object]] = {
    "a reference to a server": {"$ref": "http://127.0.0.1:9/schema.json"},
    "a reference to a file": {"items": {"$ref": "file:///etc/passwd"}},
    "a reference beside it": {"$ref": "other.json#/a"},
    "a reference to nowhere": {"$ref": "#/$defs/none"},
    "a reference to what is no schema": {"const": {"$ref": 5}, "$ref": "#/const"},
    "a reference that is no text": {"$ref": 7},
    "a name of its own inside": {"properties": {"a": {"$id": "http://x/", "$ref": "b"}}},
    "another draft inside": {"items": {"$schema": "http://json-schema.org/draft-04/schema#"}},
    "a dynamic reference": {"$dynamicRef": "#a", "$dynamicAnchor": "a"},
    "a circle": {"$ref": "#"},
    "a longer circle": {"$defs": {"a": {"not": {"$ref": "#/$defs/b"}}, "b": {"$ref": "#/$defs/a"}}},
    "a billion laughs": {"$defs": DOUBLING, "$ref": "#/$defs/a0"},
    "nested too deep": json.loads('{"not":' * 40 + "{}" + "}" * 40),
    "too large": {"description": "a" * 70_000},
    "too many schemas": {"properties": {f"p{i}": {} for i in range(2_000)}},
    "nested quantifiers": {"properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}},
    "patterns of names": {"patternProperties": {"^(a+)+$": {}}},
    "what is left": {"unevaluatedProperties": False},
    "another draft's rule": {"dependencies": {"a": ["b"]}},
    "no type": {"type": "objekt"},
    "no number": {"minimum": float("nan")},
}


@pytest.mark.parametrize("schema", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_schema_is_refused_soon(schema: dict[str, object]) -> None:
    began = time.thread_time()
    with pytest.raises(BadSchema):
        check_schema(schema)
    assert time.thread_time() - began < 1.0


@pytest.mark.parametrize(
    ("schema", "fits", "fails"),
    [
        (PERSON, {"name": "a", "age": 1}, {"name": "a", "age": 1.5}),
        ({"properties": {"id": {"type": "string"}, "$ref": {"type": "null"}}}, {"$ref": None}, {"$ref": 1}),
        ({"$defs": {"n": {"type": "integer"}}, "items": {"$ref": "#/$defs/n"}}, [1, 2], [1, "2"]),
        ({"type": "object", "properties": {"next": {"$ref": "#"}}}, {"next": {"next": {}}}, {"next": {"next": 1}}),
        ({"enum": ["a", 1]}, 1, True),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, None, 1),
        ({"oneOf": [{"minimum": 2}, {"maximum": 3}]}, 1, 2.5),
        ({"uniqueItems": True}, [1, True, "1", [1], {"a": 1}], [{"a": 1, "b": 2}, {"b": 2.0, "a": 1}]),
        ({"pattern": r"^\d{4}-\d{2}$"}, "2026-01", "2026-1"),
        ({"multipleOf": 0.1}, 1.1, 0.15),
        ({"prefixItems": [{"type": "null"}], "items": False}, [None], [None, 1]),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "$id": "http://a/b", "type": "null"}, None, 0),
    ],
)
def test_an_ordinary_schema_is_served(schema: dict[str, object], fits: object, fails: object) -> None:
    check_schema(schema)
    assert find_fault(schema, fits) is None
    assert find_fault(schema, fails) is not None


SLOW: dict[str, tuple[dict[str, object], object]] = {
    "two ways at each of thirty levels": (
        {"properties": {"a": {"$ref": "#"}}, "anyOf": [{"properties": {"a": {"$ref": "#"}}}] * 2},
        json.loads('{"a":' * 30 + "1" + "}" * 30),
    ),
    "a long text and its pattern": ({"pattern": "^a*a*$"}, "a" * 60_000),
    "every branch tells a long story": ({"anyOf": [{"type": "null"}] * 900}, ["x" * 60_000]),
    "many things that may be equal": ({"uniqueItems": True}, [{"a": i % 5_000} for i in range(9_000)]),
}


@pytest.mark.parametrize(("schema", "value"), SLOW.values(), ids=SLOW)
def test_a_check_that_would_not_end_is_a_fault(schema: dict[str, object], value: object) -> None:
    check_schema(schema)
    began = time.thread_time()
    assert find_fault(schema, value) is not None
    assert time.thread_time() - began < 2.0


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2), st.lists, max_leaves=6))
def test_items_are_told_apart_as_the_package_does(value: object) -> None:
    from jsonschema import Draft202012Validator

    schema: dict[str, object] = {"uniqueItems": True}
    assert (find_fault(schema, value) is None) == Draft202012Validator(schema).is_valid(value)


# --- patterns -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pattern",
    ["^(a+)+$", "(a|a)*b", "(a|ab)*c", "(.*)(.*)(.*)(.*)(.*)x", r"(a)\1", "(?=a)", "(?<!a)b", "(a?){40}", "(?:){9}",
     "(", r"\p{L}", "[[a]" * 65, "(a{1,9}){1,99}", "a" * 257],
)  # fmt: skip
def test_a_pattern_that_may_stall_is_refused(pattern: str) -> None:
    with pytest.raises(UnsafePattern):
        check_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    [r"^\d{4}-\d{2}-\d{2}$", r"^[a-z0-9._%+-]+@[a-z0-9.-]+\.[a-z]{2,}$", r"^(\d{1,3}\.){3}\d{1,3}$", "^https?://.*$",
     "^(red|green|blue)$", "^[A-Z]{2,5}-[0-9]+$", "", "a*?b", "(?i:yes|no)"],
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
    parts = ["a", "b", ".", "[ab]", "(a|b)", "(a)", "(ab|a)", "a+", "a*", "b?", "(?:a+)", "(a{1,3})"]
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
