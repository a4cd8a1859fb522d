"""What the API's description says of responses. Answers are not checked against these: the tests do that."""

from typing import Any, Literal

from pydantic import BaseModel

Finish = Literal["stop", "length", "tool_calls"]


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorResponse(BaseModel):
    """The body of every answer that is none."""

    error: ErrorDetail


class Usage(BaseModel):
    """Tokens of all calls that the answer took."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class SpentShape(BaseModel):
    """The same by purpose, `wasted_tokens` for calls that came to nothing; `prompt_tokens` are among these three."""

    proposing_tokens: int
    judging_tokens: int
    wasted_tokens: int = 0
    prompt_tokens: int
    seconds: float


class WaggleShape(BaseModel):
    """What OpenAI has no field for. With `explain` there is more: candidates, ballots, failed, confusion_p, reason.

    `strategy` is committee, vote, best (one node, chosen) or solo (one model, named). `confidence` is the calibrated
    probability that the swarm's answer is right, `self_confidence` what a model alone thinks of its own words.
    `best_guess` is what an abstention is unsure of; null where nothing that was written can be used.
    """

    round_id: str
    strategy: str
    confidence: float | None
    abstained: bool
    spent: SpentShape
    best_guess: str | None = None
    supporters: list[str] = []
    runner_up: str | None = None
    model: str | None = None
    self_confidence: float | None = None


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


Described = dict[int | str, dict[str, Any]]
ERRORS: Described = {
    status: {"model": ErrorResponse, "description": words}
    for status, words in {
        400: "The request cannot be done",
        401: "No valid key",
        403: "The key may not do this",
        404: "No such model",
        408: "Not ready in time",
        413: "Too large",
        422: "No answer of the form asked for",
        429: "Too many requests: try again after Retry-After seconds",
        500: "The gateway failed",
        503: "Nobody can answer now",
    }.items()
}
ANSWERS: Described = {
    200: {"description": "The answer, whole or as a stream", "content": {"text/event-stream": {}}},
    **ERRORS,
}
