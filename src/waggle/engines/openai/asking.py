"""A request as the messages and tools of the chat API. Pure.

Schemas of tools come from strangers as JSON text: they are parsed and written anew, so that no text of theirs can end
the field that it stands in.
"""

import msgspec
from msgspec import UNSET, UnsetType

from waggle.core.chat_values import Role, Tool, Turn
from waggle.core.engine_values import GenerateRequest
from waggle.core.errors import EngineRefused
from waggle.engines.openai.wire import (
    CalledFunction,
    ChatAsk,
    ChatMessage,
    ChosenName,
    ChosenTool,
    MessageCall,
    OfferedTool,
    ToolFunction,
)

SEED_MASK = 2**31 - 1  # what every server takes for a seed
AUTO, NONE, REQUIRED = "auto", "none", "required"


def chat_ask(model: str, instructions: str | None, request: GenerateRequest) -> ChatAsk:
    """What is asked of the server. Raises EngineRefused for tools that cannot be offered."""
    sampling = request.sampling
    return ChatAsk(
        model=model,
        messages=messages_of(instructions, request),
        max_tokens=request.max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k or UNSET,
        seed=sampling.seed & SEED_MASK,
        stop=request.stop or UNSET,
        tools=tuple(_offered(tool) for tool in request.tools) or UNSET,
        tool_choice=_choice(request),
    )


def messages_of(instructions: str | None, request: GenerateRequest) -> tuple[ChatMessage, ...]:
    """The conversation, or the question alone where there is none.

    The configured instructions come first. A conversation's own instructions follow them in the same message, since
    many chat templates take one such message only.
    """
    turns = request.turns or (Turn(role=Role.USER, content=request.question),)
    own = next((number for number, turn in enumerate(turns) if turn.role is not Role.SYSTEM), len(turns))
    told = [instructions] if instructions is not None else []
    told += [turn.content for turn in turns[:own]]
    system = (ChatMessage("system", "\n\n".join(told)),) if told else ()
    return (*system, *(_message(turn) for turn in turns[own:]))


def callable_tools(request: GenerateRequest) -> list[str]:
    """The names of the tools that may be called."""
    names = [tool.name for tool in request.tools]
    match request.tool_choice:
        case "none":
            return []
        case "auto" | "required":
            return names
        case name:
            return [name]


def must_call(request: GenerateRequest) -> bool:
    """Whether an answer without a call is none."""
    return request.tool_choice not in (AUTO, NONE)


def _message(turn: Turn) -> ChatMessage:
    calls = tuple(
        MessageCall(id=call.id, function=CalledFunction(call.name, call.arguments)) for call in turn.tool_calls
    )
    return ChatMessage(turn.role.value, turn.content or (None if calls else ""), calls, turn.tool_call_id)


def _offered(tool: Tool) -> OfferedTool:
    try:
        schema = msgspec.json.decode(tool.parameters, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        raise EngineRefused("the parameters of a tool are not a JSON object") from None
    return OfferedTool(function=ToolFunction(name=tool.name, description=tool.description, parameters=schema))


def _choice(request: GenerateRequest) -> str | ChosenTool | UnsetType:
    """Unsaid where it is what every server does anyway."""
    names = {tool.name for tool in request.tools}
    match request.tool_choice:
        case "auto":
            return UNSET
        case "none":
            return NONE if names else UNSET
        case "required" if names:
            return REQUIRED
        case name if name in names:
            return ChosenTool(function=ChosenName(name))
        case _:
            raise EngineRefused("a tool must be called, but it is not offered")
