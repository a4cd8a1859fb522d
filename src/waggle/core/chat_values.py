"""A conversation, as every engine and every node understands it: turns, tools, and calls of tools.

A conversation ends with what is to be answered. Schemas and arguments of tools are kept as JSON text: whoever needs
their structure parses them, with bounds of its own.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

Name = Annotated[str, Meta(max_length=256)]
Json = Annotated[str, Meta(max_length=65_536)]
Text = Annotated[str, Meta(max_length=524_288)]
MAX_TOOL_CALLS = 64
MAX_TURNS = 512


class Role(StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class ToolCall(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An assistant wants a tool to be run; `arguments` is what the model wrote, JSON text if it did well."""

    id: Name
    name: Name
    arguments: Json


class Tool(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool that may be called; `parameters` is the JSON Schema of its arguments, as JSON text."""

    name: Name
    description: Json = ""
    parameters: Json = "{}"


class Turn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One turn; `tool_call_id` says which call a turn of the role TOOL answers."""

    role: Role
    content: Text
    tool_calls: Annotated[tuple[ToolCall, ...], Meta(max_length=MAX_TOOL_CALLS)] = ()
    tool_call_id: Name = ""


Turns = Annotated[tuple[Turn, ...], Meta(max_length=MAX_TURNS)]
