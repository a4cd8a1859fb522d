"""The messages and tools of a client as the house keeps them: pure.

Only text is taken: pictures and sound were refused before, and no address in a message or a schema is ever fetched.
"""

import json
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from waggle.core.asking import check_question, check_turns
from waggle.core.chat_values import Role, Tool, ToolCall, Turn
from waggle.core.errors import UsageError
from waggle.gateway.chat.shapes import (
    AssistantMessage,
    ChatRequest,
    Message,
    NamedTool,
    RefusalPart,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
)
from waggle.gateway.errors import ApiError, fault
from waggle.gateway.shapes import MAX_ARGUMENTS
from waggle.gateway.structured.schemas import MAX_TOOL_PATTERNS, BadSchema, check_passed_on


def turns_of(messages: Sequence[Message]) -> tuple[Turn, ...]:
    """The conversation as the house keeps it. Raises ApiError where it cannot be continued."""
    turns: list[Turn] = []
    called: set[str] = set()
    for index, message in enumerate(messages):
        turn = _turn(message)
        if turn.role is Role.TOOL and turn.tool_call_id not in called:
            raise fault(f"messages[{index}].tool_call_id", "no earlier message made such a call")
        called.update(call.id for call in turn.tool_calls)
        turns.append(turn)
    if turns[-1].role is Role.ASSISTANT:
        raise fault(f"messages[{len(turns) - 1}].role", "a conversation ends with what is to be answered")
    try:
        check_turns(turns)
    except UsageError as error:
        raise _too_much("messages", error) from None
    return tuple(turns)


def with_names(turns: Sequence[Turn], messages: Sequence[Message]) -> tuple[Turn, ...]:
    """The turns with their speakers' names before them, where several of one role speak and names tell them apart."""
    speakers: dict[str, set[str | None]] = {}
    for message in messages:
        speakers.setdefault(message.role, set()).add(getattr(message, "name", None))
    return tuple(
        replace(turn, content=f"{name}: {turn.content}")
        if (name := getattr(message, "name", None)) and len(speakers[message.role]) > 1
        else turn
        for turn, message in zip(turns, messages, strict=True)
    )


def question_of(turns: Sequence[Turn]) -> str:
    """What is to be answered: what the user said last. Raises ApiError where the user said nothing."""
    for turn in reversed(turns):
        if turn.role is Role.USER:
            return asked_text(turn.content, "messages")
    raise fault("messages", "there is no message of the user")


def tools_of(body: ChatRequest) -> tuple[Tool, ...]:
    """The tools on offer. Raises ApiError for names that are there twice and for schemas that are none."""
    tools: dict[str, Tool] = {}
    patterns = 0
    for index, tool in enumerate(body.tools or ()):
        function, param = tool.function, f"tools[{index}].function"
        if function.name in tools:
            raise fault(f"{param}.name", "two tools have the same name")
        schema = {} if function.parameters is None else function.parameters
        if schema.get("type", "object") != "object":
            raise fault(f"{param}.parameters", "the type of a tool's parameters is object")
        text = json.dumps(schema, separators=(",", ":"))
        if len(text) > MAX_ARGUMENTS:
            raise fault(f"{param}.parameters", f"longer than {MAX_ARGUMENTS} bytes")
        patterns += _count_patterns(schema, f"{param}.parameters")
        if patterns > MAX_TOOL_PATTERNS:
            raise fault("tools", f"there are more than {MAX_TOOL_PATTERNS} patterns")
        tools[function.name] = Tool(name=function.name, description=function.description or "", parameters=text)
    return tuple(tools.values())


def _count_patterns(schema: Mapping[str, object], param: str) -> int:
    try:
        return check_passed_on(schema)
    except BadSchema as error:
        raise fault(param, str(error)) from None


def tool_choice_of(body: ChatRequest, tools: Sequence[Tool]) -> str:
    """What is to be done with the tools. Raises ApiError where that cannot be."""
    choice = body.tool_choice
    if choice is None or isinstance(choice, str):
        if choice == "required" and not tools:
            raise fault("tool_choice", "there are no tools to choose from")
        return "auto" if choice is None else choice
    assert isinstance(choice, NamedTool)
    name = choice.function.name
    if name in ("none", "auto", "required") or all(tool.name != name for tool in tools):
        raise fault("tool_choice", "there is no tool of this name")
    return name


def _turn(message: Message) -> Turn:
    match message:
        case SystemMessage():
            return Turn(role=Role.SYSTEM, content=_text(message.content))
        case UserMessage():
            return Turn(role=Role.USER, content=_text(message.content))
        case ToolMessage():
            return Turn(role=Role.TOOL, content=_text(message.content), tool_call_id=message.tool_call_id)
        case AssistantMessage():
            made = (
                ToolCall(id=c.id, name=c.function.name, arguments=c.function.arguments)
                for c in message.tool_calls or ()
            )
            said = message.refusal if message.content is None else message.content
            return Turn(role=Role.ASSISTANT, content=_text(said or ""), tool_calls=tuple(made))


def _text(content: str | Sequence[TextPart | RefusalPart]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.text if isinstance(part, TextPart) else part.refusal for part in content)


def asked_text(text: str, param: str) -> str:
    """A text that can be asked. Raises ApiError for an empty one, and for one that is too long to be sent."""
    if not text.strip():
        raise fault(param, "there is nothing in it to be answered")
    try:
        check_question(text)
    except UsageError as error:
        raise _too_much(param, error) from None
    return text


def _too_much(param: str, error: UsageError) -> ApiError:
    return ApiError(400, f"{param}: {error}", code="string_above_max_length", param=param)
