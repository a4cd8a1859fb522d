"""What the API's description says of the answers of /v1/chat/completions and /v1/completions."""

from typing import Literal

from pydantic import BaseModel

from waggle.gateway.telling.description import WaggleShape

Finish = Literal["stop", "length", "tool_calls"]


class Usage(BaseModel):
    """Tokens of all calls that the answer took."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class CalledShape(BaseModel):
    """Which function, with what."""

    name: str
    arguments: str


class ToolCallShape(BaseModel):
    """A call of a tool."""

    id: str
    type: Literal["function"]
    function: CalledShape


class MessageShape(BaseModel):
    """What the assistant says."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    tool_calls: list[ToolCallShape] = []


class ChatChoice(BaseModel):
    """One answer to a chat."""

    index: int
    message: MessageShape
    logprobs: dict[str, object] | None
    finish_reason: Finish


class TextChoice(BaseModel):
    """One answer to a text."""

    index: int
    text: str
    logprobs: dict[str, object] | None
    finish_reason: Finish


class Whole(BaseModel):
    """What both kinds of response have."""

    id: str
    created: int
    model: str
    system_fingerprint: str
    usage: Usage
    waggle: WaggleShape


class ChatResponse(Whole):
    """The body of a chat's response."""

    object: Literal["chat.completion"]
    choices: list[ChatChoice]


class CompletionResponse(Whole):
    """The body of a legacy completion's response."""

    object: Literal["text_completion"]
    choices: list[TextChoice]
