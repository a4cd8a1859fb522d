"""What is wrong with a JSON value under a schema, told within bounds: every check ends after so many steps and so long.

Takes schemas that `schemas.check_schema` let pass. Keywords that can take long on hostile values (`pattern`,
`uniqueItems`) are ours; all others are those of the jsonschema package, counted one by one.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError

from waggle.gateway.structured.patterns import fits
from waggle.gateway.structured.schemas import REFUSED, ROOT_ONLY

MAX_STEPS = 20_000
MAX_SECONDS = 1.0
"""Processor time of the thread that checks."""
TYPES = Draft202012Validator.TYPE_CHECKER

Check = Callable[[Any, Any, Any, Any], Iterator[ValidationError]]
Maybe = Callable[[Any, Any, Any, Any], Iterable[ValidationError] | None]


class _TooMuch(Exception):
    """A check took more steps or time than it may."""


def find_fault(schema: Mapping[str, object], value: object) -> str | None:
    """What is wrong with a value under a checked schema, in a few words; None where it fits.

    What cannot be told within the bounds counts as a fault: nothing passes unchecked.
    """
    root = {key: inner for key, inner in schema.items() if key not in ROOT_ONLY}
    try:
        error = next(_bounded(root, _Meter()).iter_errors(value), None)
    except (_TooMuch, RecursionError, OverflowError):
        return "it takes too long to check"
    if error is None:
        return None
    return f"{error.validator or 'false'!r} does not hold at {error.json_path[:120]}"


class _Meter:
    """Counts the steps of one check."""

    def __init__(self) -> None:
        self.left = MAX_STEPS
        self.ends = time.thread_time() + MAX_SECONDS

    def step(self) -> None:
        self.left -= 1
        if self.left < 0 or time.thread_time() > self.ends:
            raise _TooMuch


def _bounded(schema: Mapping[str, object], meter: _Meter) -> Any:  # noqa: ANN401  # jsonschema's classes are untyped
    """The draft's validator for a schema, every keyword of it counted."""
    keywords = {**Draft202012Validator.VALIDATORS, "pattern": _pattern, "uniqueItems": _unique_items}
    counted = {name: _counted(check, meter) for name, check in keywords.items() if name not in REFUSED}
    return validators.create(Draft202012Validator.META_SCHEMA, counted, type_checker=TYPES)(schema)


def _counted(check: Maybe, meter: _Meter) -> Check:
    def checked(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:  # noqa: ANN401
        meter.step()
        found = check(validator, wanted, instance, schema)
        yield from () if found is None else found

    return checked


def _pattern(_validator: object, wanted: str, instance: object, _schema: object) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not fits(wanted, instance):
        yield ValidationError("the text does not match")


def _unique_items(_validator: object, wanted: bool, instance: object, _schema: object) -> Iterator[ValidationError]:
    if wanted and isinstance(instance, list) and len({_same_text(item) for item in instance}) < len(instance):
        yield ValidationError("items are equal")


def _same_text(value: object) -> str:
    """The same text for equal values: 1 and 1.0 are equal, 1 and true are not."""
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(whole, list):
        return "[" + ",".join(_same_text(item) for item in whole) + "]"
    if isinstance(whole, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_same_text(whole[key])}" for key in sorted(whole)) + "}"
    return json.dumps(whole)
