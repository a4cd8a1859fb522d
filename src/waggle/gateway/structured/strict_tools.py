"""Tools marked `strict`: what a model calls them with has to fit their schema, or there is no answer."""

import asyncio
from collections.abc import Mapping, Sequence

from waggle.core.chat_values import ToolCall
from waggle.gateway.chat.shapes import FunctionTool
from waggle.gateway.errors import REPLY, ApiError
from waggle.gateway.structured.answers import JsonFormat, NotJson, read_json
from waggle.gateway.structured.schemas import BadSchema, check_schema

Schemas = Mapping[str, dict[str, object]]


async def strict_schemas(tools: Sequence[FunctionTool]) -> Schemas:
    """The schemas of the strict tools, by name. Raises ApiError for one that answers cannot be checked against."""
    strict = {}
    for index, tool in enumerate(tools):
        if not tool.function.strict:
            continue
        schema = strict[tool.function.name] = tool.function.parameters or {}
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
