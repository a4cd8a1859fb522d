"""Schemas of strangers: what reaches outside or never ends is refused, and every check ends."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waggle.gateway.structured.faults import find_fault
from waggle.gateway.structured.schemas import BadSchema, check_schema

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
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
    "a pattern that is too large": {"properties": {"a": {"type": "string", "pattern": "^(a{1,99}){1,99}$"}}},
    "too many patterns": {"properties": {f"p{i}": {"pattern": f"^{i}$"} for i in range(300)}},
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
        ({"items": {"pattern": "^[a-z]+(-[a-z]+)*$"}}, ["bee", "bee-hive-" * 50 + "x"], ["bee-"]),
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
    "a long text and its pattern": ({"pattern": "[ab]{1,900}a[ab]{1,900}c|a"}, "a" * 60_000),
    "a long text and many patterns": (
        {"allOf": [{"pattern": f"([ab]{{1,900}}a[ab]{{1,9{n}}}c|.)$"} for n in range(50)]},
        "a" * 12_000,
    ),
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
