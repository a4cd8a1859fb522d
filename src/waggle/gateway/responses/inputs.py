"""A request to /v1/responses as the chat that it means: pure, so that both are answered by the same code.

Instructions come first as a system message. A call of a function joins the assistant's words before it, as a chat has
it. Nothing is kept between requests: what would need that is refused with a reason.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from waggle.gateway.chat.shapes import (
    AssistantMessage,
    Call,
    CalledFunction,
    ChatRequest,
    FunctionTool,
    Message,
    NamedTool,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from waggle.gateway.errors import ApiError, renamed, unsupported
from waggle.gateway.responses.shapes import (
    ChosenFunction,
    FunctionCallItem,
    FunctionOutputItem,
    InputText,
    Item,
    MessageItem,
    OutputRefusal,
    OutputText,
    ResponsesRequest,
)

RESEND = "nothing is kept between requests: send the whole conversation as input"
NAMES = {"messages": "input", "max_completion_tokens": "max_output_tokens", "max_tokens": "max_output_tokens"}
USAGE = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}


def check_stateless(body: ResponsesRequest) -> None:
    """Raise ApiError where a request needs what an earlier one left, or wants to leave something."""
    if body.store:
        raise unsupported("store", "nothing is kept: send false, or leave it out")
    if body.background:
        raise unsupported("background", "an answer is waited for: use stream")
    for name in ("previous_response_id", "conversation"):
        if getattr(body, name) is not None:
            raise unsupported(name, RESEND)
    if body.prompt is not None:
        raise unsupported("prompt", "no prompts are kept here: send instructions and input")


def chat_of(body: ResponsesRequest) -> ChatRequest:
    """The chat that a request means. Raises ApiError where it needs what is not kept."""
    check_stateless(body)
    items = [MessageItem(role="user", content=body.input)] if isinstance(body.input, str) else body.input
    instructions = [] if body.instructions is None else [SystemMessage(role="system", content=body.instructions)]
    return ChatRequest(
        model=body.model,
        messages=[*instructions, *messages_of(items)],
        temperature=body.temperature,
        top_p=body.top_p,
        max_completion_tokens=body.max_output_tokens,
        tools=None if body.tools is None else [FunctionTool(type="function", function=tool) for tool in body.tools],
        tool_choice=_choice(body),
        parallel_tool_calls=body.parallel_tool_calls,
        waggle=body.waggle,
    )


def in_words_of_responses(error: ApiError) -> ApiError:
    """An error about a field of the chat, and what it cost, in the words of a response's request."""
    error = replace(error, usage={USAGE.get(name, name): tokens for name, tokens in error.usage.items()})
    if error.param is None:
        return error
    head = error.param.partition("[")[0]
    param = error.param.replace(".function", "") if head == "tools" else NAMES.get(head, error.param)
    return renamed(error, {error.param: param})


def messages_of(items: Sequence[Item]) -> list[Message]:
    """The items as messages; calls that follow each other, or an assistant's words, are one message."""
    messages: list[Message] = []
    for item in items:
        last = messages[-1] if messages else None
        if isinstance(item, FunctionCallItem) and isinstance(last, AssistantMessage):
            calls = [*(last.tool_calls or ()), _call(item)]
            messages[-1] = last.model_copy(update={"tool_calls": calls})
        else:
            messages.append(_message(item))
    return messages


def _message(item: Item) -> Message:
    match item:
        case FunctionCallItem():
            return AssistantMessage(role="assistant", tool_calls=[_call(item)])
        case FunctionOutputItem():
            return ToolMessage(role="tool", content=_text(item.output), tool_call_id=item.call_id)
        case MessageItem(role="assistant"):
            return AssistantMessage(role="assistant", content=_text(item.content))
        case MessageItem(role="user"):
            return UserMessage(role="user", content=_text(item.content))
        case MessageItem():
            return SystemMessage(role="system", content=_text(item.content))


def _text(content: str | Sequence[InputText | OutputText | OutputRefusal]) -> str:
    return content if isinstance(content, str) else "\n".join(_texts(content))


def _texts(parts: Sequence[InputText | OutputText | OutputRefusal]) -> Iterator[str]:
    for part in parts:
        yield part.refusal if isinstance(part, OutputRefusal) else part.text


def _call(item: FunctionCallItem) -> Call:
    return Call(id=item.call_id, function=CalledFunction(name=item.name, arguments=item.arguments))


def _choice(body: ResponsesRequest) -> NamedTool | Literal["none", "auto", "required"] | None:
    choice = body.tool_choice
    if not isinstance(choice, ChosenFunction):
        return choice
    return NamedTool(type="function", function=choice)
