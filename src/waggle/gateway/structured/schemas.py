"""JSON Schemas from strangers: which of them are served.

Draft 2020-12 without what reaches outside the schema or can take endless work: references are local, name a place
where a schema stands, and never lead back to the value that they are applied to; patterns are those that RE2 runs.
`format` is a remark, as the draft has it. Knows no answers: `faults` checks them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import islice

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError

from waggle.gateway.structured.patterns import UnsafePattern, check_patterns

MAX_SCHEMA_BYTES = 64 * 1024
MAX_DEPTH = 32
MAX_PLACES = 1_000
MAX_IN_PLACE = 2_000
MAX_PATTERNS, MAX_TOOL_PATTERNS = 256, 64  # in the form of an answer, in all tools of a request
NO_FORMATS = FormatChecker(())  # else patterns have to be such as Python reads
TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_ONE = ("items", "additionalProperties", "contains", "propertyNames", "contentSchema")
_MANY = ("properties", "$defs", "definitions")
_SAME_ONE = ("not", "if", "then", "else")
_SAME_LIST = ("allOf", "anyOf", "oneOf")
ROOT_ONLY = frozenset({"$id", "$schema"})
REFUSED = ROOT_ONLY | {
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
    "additionalItems",
    "dependencies",
    "patternProperties",
    "unevaluatedItems",
    "unevaluatedProperties",
}
"""Keywords that lead elsewhere, cannot be bounded, or are of other drafts and would not be enforced."""


class BadSchema(ValueError):
    """The schema is broken, or asks for what is not served; the text says which."""


def check_schema(schema: Mapping[str, object]) -> None:
    """Raise BadSchema unless answers can be checked against this schema."""
    if depth_of(schema) > MAX_DEPTH:
        raise BadSchema(f"the schema is nested deeper than {MAX_DEPTH}")
    places = dict(islice(_places(schema, "#"), MAX_PLACES + 1))
    if len(places) > MAX_PLACES:
        raise BadSchema(f"the schema holds more than {MAX_PLACES} schemas")
    try:
        if len(json.dumps(schema, allow_nan=False)) > MAX_SCHEMA_BYTES:
            raise BadSchema(f"the schema is larger than {MAX_SCHEMA_BYTES // 1024} KiB")
        Draft202012Validator.check_schema(schema, format_checker=NO_FORMATS)
    except (SchemaError, RecursionError) as error:
        place = error.json_path[:80] if isinstance(error, SchemaError) else "$"
        raise BadSchema(f"the schema is no JSON Schema (draft 2020-12): see {place}") from None
    except ValueError as error:
        raise error if isinstance(error, BadSchema) else BadSchema("the schema is not JSON") from None
    for place, found in places.items():
        _check_keywords(found, place, places)
    _check_patterns(places.values(), MAX_PATTERNS)
    _check_loops(places)


def check_passed_on(schema: Mapping[str, object]) -> int:
    """Raise BadSchema where a tool's schema, which is not run here, could hurt whoever runs it; counts its patterns.

    Patterns that are broken or too large, unknown types and references to elsewhere do not pass.
    """
    if depth_of(schema) > MAX_DEPTH:
        raise BadSchema(f"the schema is nested deeper than {MAX_DEPTH}")
    places = [found for _, found in islice(_places(schema, "#"), MAX_PLACES + 1)]
    if len(places) > MAX_PLACES:
        raise BadSchema(f"the schema holds more than {MAX_PLACES} schemas")
    for found in places:
        _check_words(found)
    return _check_patterns(places, MAX_TOOL_PATTERNS)


def _check_words(schema: Mapping[str, object]) -> None:
    reference, pattern, kinds = schema.get("$ref", "#"), schema.get("pattern", ""), schema.get("type", [])
    if not (isinstance(reference, str) and reference.startswith("#")):
        raise BadSchema("the schema has a $ref to elsewhere: nothing outside it is read")
    listed = kinds if isinstance(kinds, list) else [kinds]
    if not all(isinstance(kind, str) and kind in TYPES for kind in listed):
        raise BadSchema("the schema has an unknown type")
    if not isinstance(pattern, str):
        raise BadSchema("the schema has a pattern that is no text")


def _check_patterns(schemas: Iterable[Mapping[str, object]], most: int) -> int:
    try:
        return check_patterns([str(schema["pattern"]) for schema in schemas if "pattern" in schema], most)
    except UnsafePattern as error:
        raise BadSchema(f"the schema is refused: {error}") from None


def depth_of(value: object) -> int:
    """How deep objects and arrays are nested; counting stops just above the limit."""
    level, depth = [value], 0
    while level and depth <= MAX_DEPTH:
        level = [inner for outer in level for inner in _inside(outer)]
        depth += bool(level)
    return depth


def _inside(value: object) -> list[object]:
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


def _places(schema: object, place: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Every place at which a schema stands, as a JSON pointer."""
    if not isinstance(schema, Mapping):
        return
    yield place, schema
    for key in (*_ONE, *_SAME_ONE):
        yield from _places(schema.get(key), f"{place}/{key}")
    for key in (*_MANY, "dependentSchemas"):
        named = schema.get(key)
        for name, inner in named.items() if isinstance(named, Mapping) else ():
            yield from _places(inner, f"{place}/{key}/{_escaped(name)}")
    for key in (*_SAME_LIST, "prefixItems"):
        listed = schema.get(key)
        for number, inner in enumerate(listed if isinstance(listed, list) else ()):
            yield from _places(inner, f"{place}/{key}/{number}")


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _check_keywords(schema: Mapping[str, object], place: str, places: Mapping[str, object]) -> None:
    refused = sorted(REFUSED & set(schema) - (ROOT_ONLY if place == "#" else set()))
    if refused:
        raise BadSchema(f"the schema's keyword {refused[0]} is not supported here")
    reference = schema.get("$ref")
    if reference is not None and reference not in places:
        raise BadSchema("the schema has a $ref that is not of the form #/$defs/NAME: nothing outside it is read")


def _check_loops(places: Mapping[str, Mapping[str, object]]) -> None:
    """Refuse schemas that apply themselves to the same value, or so many others that no check would end."""
    under_way: set[str] = set()

    @cache
    def sizes(place: str) -> tuple[int, int]:
        """How many schemas are applied to one value here, and how deep they stand in one another."""
        if place in under_way or len(under_way) > MAX_DEPTH:
            raise BadSchema("the schema refers to itself at the same place, or through too many references")
        under_way.add(place)
        inner = [sizes(other) for other in _same_value(place, places)]
        under_way.discard(place)
        return 1 + sum(size for size, _ in inner), 1 + max((depth for _, depth in inner), default=0)

    for place in places:
        size, depth = sizes(place)
        if size > MAX_IN_PLACE or depth > MAX_DEPTH:
            raise BadSchema("the schema combines too many schemas at one place")


def _same_value(place: str, places: Mapping[str, Mapping[str, object]]) -> list[str]:
    """The places that are applied to the very value that this one is applied to."""
    schema = places[place]
    found = [f"{place}/{key}" for key in _SAME_ONE]
    for key in _SAME_LIST:
        listed = schema.get(key)
        found += [f"{place}/{key}/{number}" for number in range(len(listed) if isinstance(listed, list) else 0)]
    named = schema.get("dependentSchemas")
    found += [f"{place}/dependentSchemas/{_escaped(name)}" for name in (named if isinstance(named, Mapping) else ())]
    found.append(str(schema.get("$ref")))
    return [other for other in found if other in places]
