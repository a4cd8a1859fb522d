"""Answers that have to be JSON, and calls of strict tools: only what fits its schema is given out.

The schema of an answer is put before the model. One that does not fit is asked for again, with what was wrong with it,
as often as `tries` and the budget allow. After that it is an error: JSON that is broken or does not fit is never an
answer.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from msgspec.structs import replace

from waggle.core.chat_values import Role, ToolCall, Turn
from waggle.gateway.errors import REPLY, ApiError, fault
from waggle.gateway.shapes import Function
from waggle.gateway.structured.faults import find_fault
from waggle.gateway.structured.schemas import MAX_DEPTH, BadSchema, check_schema, depth_of

MAX_ANSWER_CHARACTERS = 64 * 1024
MAX_DIGITS = 300
TRIES = 3
_FENCED = re.compile(r"```(?:json|JSON)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)


class Written(Protocol):
    """What somebody wrote; None where nobody managed."""

    @property
    def text(self) -> str | None:
        """The words of the answer."""
        ...


Schemas = Mapping[str, dict[str, object]]
T = TypeVar("T", bound=Written)
Write = Callable[[tuple[Turn, ...], tuple[T, ...]], Awaitable[T | None]]


@dataclass(frozen=True)
class JsonFormat:
    """What form is asked for, and what for: any JSON object where there is no schema."""

    schema: dict[str, object] | None = None
    description: str = ""


@dataclass(frozen=True)
class JsonAnswer(Generic[T]):
    """An answer that fits: its JSON text, what that means, and every try, the last of which it is."""

    text: str
    value: object
    written: tuple[T, ...]


class NotJson(ValueError):
    """The text holds no JSON that can be given out; the text of the error says why."""


async def read_format(form: object, param: str) -> JsonFormat | None:
    """The form that `response_format` of a chat, or `text.format` of a response, asks for; None for plain text.

    Raises:
        ApiError: a schema that is broken or not served, or no form at all.
    """
    match form:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return JsonFormat()
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}} | {
            "type": "json_schema",
            "schema": dict(schema),
        }:
            try:
                await asyncio.to_thread(check_schema, schema)
            except BadSchema as error:
                raise ApiError(400, f"{param}: {error}", code="invalid_json_schema", param=param) from None
            return JsonFormat(schema, _described(form))
        case _:
            raise fault(param, "its type is text, json_object or json_schema, the last with a schema")


def _described(form: object) -> str:
    """What the form says it is for, in the chat's shape or in the flatter one of responses."""
    match form:
        case {"json_schema": {"description": str(words)}} | {"description": str(words)}:
            return words
        case _:
            return ""


async def answer_in_json(
    form: JsonFormat, turns: tuple[Turn, ...], write: Write[T], tries: int = TRIES
) -> JsonAnswer[T]:
    """Have an answer written until it fits.

    Args:
        turns: the conversation, without the schema.
        write: writes one answer to the turns that it is given, knowing the earlier ones (for another seed, and for
            what is left of the budget); None where the budget is used up.

    Raises:
        ApiError: 422, no answer fitted.
    """
    written: tuple[T, ...] = ()
    fault = "nothing was written"
    while len(written) < tries:
        made = await write(with_schema(turns, form, fault if written else None), written)
        if made is None:
            break
        written = (*written, made)
        try:
            text, value = await asyncio.to_thread(read_json, made.text or "", form)
        except NotJson as error:
            fault = str(error)
        else:
            return JsonAnswer(text, value, written)
    times = "1 try" if len(written) == 1 else f"{len(written)} tries"
    message = f"no answer was JSON of the form asked for, in {times}: {fault}"
    raise ApiError(422, message, type=REPLY, code="json_invalid")


def with_schema(turns: tuple[Turn, ...], form: JsonFormat, fault: str | None = None) -> tuple[Turn, ...]:
    """The conversation with what is asked for in its system turn, and what was wrong with the last answer."""
    wanted = "Answer with one JSON object and nothing else."
    if form.schema is not None:
        wanted = f"Answer with JSON that fits this JSON Schema, and nothing else:\n{json.dumps(form.schema)}"
    if form.description:
        wanted += f"\nWhat it is for: {form.description}"
    if fault is not None:
        wanted += f"\nAn earlier answer was refused: {fault}."
    if turns and turns[0].role is Role.SYSTEM:
        return (replace(turns[0], content=f"{turns[0].content}\n\n{wanted}"), *turns[1:])
    return (Turn(role=Role.SYSTEM, content=wanted), *turns)


def read_json(text: str, form: JsonFormat) -> tuple[str, object]:
    """The JSON of an answer and its value: after what was thought before it, and out of a fence where there is one.

    Raises:
        NotJson: there is none, or none that fits.
    """
    if len(text) > MAX_ANSWER_CHARACTERS:
        raise NotJson("it is too long")
    thought_over = text.rpartition("</think>")[2]
    fenced = _FENCED.search(thought_over)
    bare = (fenced.group(1) if fenced else thought_over).strip()
    value = _parsed(bare)
    if form.schema is None:
        if not isinstance(value, dict):
            raise NotJson("it is no JSON object")
    elif (fault := find_fault(form.schema, value)) is not None:
        raise NotJson(fault)
    return bare, value


def _parsed(text: str) -> object:
    try:
        value = json.loads(
            text, parse_constant=_refuse, parse_float=_number, parse_int=_integer, object_pairs_hook=_members
        )
        if depth_of(value) > MAX_DEPTH:
            raise NotJson(f"it is nested deeper than {MAX_DEPTH}")
        text.encode()
    except (json.JSONDecodeError, RecursionError, UnicodeEncodeError):
        raise NotJson("it is not valid JSON") from None
    return value


def _refuse(name: str) -> object:
    raise NotJson(f"{name} is no JSON")


def _number(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise NotJson("a number is too large")
    return number


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise NotJson("a number is too large")
    return int(text)


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise NotJson("an object has a key twice")
    return members


async def strict_schemas(tools: Sequence[Function]) -> Schemas:
    """The schemas of the strict tools, by name. Raises ApiError for one that answers cannot be checked against."""
    strict = {}
    for index, tool in enumerate(tools):
        if not tool.strict:
            continue
        schema = strict[tool.name] = tool.parameters or {}
        try:
            await asyncio.to_thread(check_schema, schema)
        except BadSchema as error:
            param = f"tools[{index}].function.parameters"
            raise ApiError(400, f"{param}: {error}", code="invalid_function_parameters", param=param) from None
    return strict


async def check_calls(calls: Sequence[ToolCall], strict: Schemas) -> None:
    """Raise ApiError where a strict tool is called with what does not fit."""
    for call in calls:
        if (schema := strict.get(call.name)) is None:
            continue
        try:
            text, _ = await asyncio.to_thread(read_json, call.arguments, JsonFormat(schema))
            if text != call.arguments.strip():
                raise NotJson("there is more than the JSON")
        except NotJson:
            message = "the model called a strict tool with arguments that do not fit its schema"
            raise ApiError(422, message, type=REPLY, code="invalid_tool_call") from None
