"""The shapes of the OpenAI-compatible HTTP API: what waggle asks with and what it reads. No I/O.

What a server sends is untrusted: it is decoded into typed values with bounds, and whatever does not fit is
EngineRefused. Unknown fields are ignored, since every server adds its own.
"""

from typing import Annotated, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from waggle.core.chat_values import MAX_TOOL_CALLS
from waggle.core.errors import EngineRefused

MAX_ARGUMENTS = 65_536  # characters of one call's arguments

Count = Annotated[int, Meta(ge=0, le=10_000_000)]
Wire = TypeVar("Wire")


class CalledFunction(Struct, frozen=True):
    """What a call of a tool runs."""

    name: str
    arguments: str


class MessageCall(Struct, frozen=True, kw_only=True):
    """A call of a tool that an assistant made before."""

    id: str
    type: str = "function"
    function: CalledFunction


class ChatMessage(Struct, frozen=True, omit_defaults=True):
    """One turn; the content is None only where an assistant called tools without a word."""

    role: str
    content: str | None
    tool_calls: tuple[MessageCall, ...] = ()
    tool_call_id: str = ""


class ToolFunction(Struct, frozen=True, kw_only=True):
    """A tool; `parameters` is a JSON Schema."""

    name: str
    description: str = ""
    parameters: dict[str, object]


class OfferedTool(Struct, frozen=True, kw_only=True):
    """A tool as it is offered."""

    type: str = "function"
    function: ToolFunction


class ChosenName(Struct, frozen=True):
    """The name of the tool that must be called."""

    name: str


class ChosenTool(Struct, frozen=True, kw_only=True):
    """The tool that must be called."""

    type: str = "function"
    function: ChosenName


class StreamOptions(Struct, frozen=True):
    """Asks for the token counts at the end of a stream."""

    include_usage: bool


class ChatAsk(Struct, frozen=True, kw_only=True):
    """The body of POST /chat/completions; fields left UNSET are not sent."""

    model: str
    messages: tuple[ChatMessage, ...]
    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stream: bool = False
    stop: tuple[str, ...] | UnsetType = UNSET
    tools: tuple[OfferedTool, ...] | UnsetType = UNSET
    tool_choice: str | ChosenTool | UnsetType = UNSET
    top_k: int | UnsetType = UNSET
    logprobs: bool | UnsetType = UNSET
    top_logprobs: int | UnsetType = UNSET
    stream_options: StreamOptions | UnsetType = UNSET
    cache_salt: str | UnsetType = UNSET
    cache_prompt: bool | UnsetType = UNSET


class EmbeddingAsk(Struct, frozen=True, kw_only=True):
    """The body of POST /embeddings."""

    model: str
    input: tuple[str, ...]
    encoding_format: str = "float"


class TopLogprob(Struct, frozen=True):
    """A token that could have stood in a place."""

    token: Annotated[str, Meta(max_length=1_000)]
    logprob: float


class TokenLogprob(Struct, frozen=True):
    """A token that was written, and its rivals."""

    token: Annotated[str, Meta(max_length=1_000)]
    logprob: float
    top_logprobs: Annotated[tuple[TopLogprob, ...], Meta(max_length=100)] = ()


class ChoiceLogprobs(Struct, frozen=True):
    """The written tokens of one chunk."""

    content: Annotated[tuple[TokenLogprob, ...], Meta(max_length=10_000)] | None = None


class FunctionDelta(Struct, frozen=True):
    """What a chunk adds to a called function."""

    name: Annotated[str, Meta(max_length=256)] | None = None
    arguments: Annotated[str, Meta(max_length=MAX_ARGUMENTS)] | None = None


class CallDelta(Struct, frozen=True):
    """What a chunk adds to one call of a tool; some servers leave the index out."""

    index: Annotated[int, Meta(ge=0, lt=MAX_TOOL_CALLS)] | None = None
    id: Annotated[str, Meta(max_length=256)] | None = None
    function: FunctionDelta = FunctionDelta()


class Delta(Struct, frozen=True):
    """What a chunk adds to the text, and to calls of tools."""

    content: str | None = None
    tool_calls: Annotated[tuple[CallDelta, ...], Meta(max_length=MAX_TOOL_CALLS)] | None = None


class ChunkChoice(Struct, frozen=True, kw_only=True):
    """One completion's share of a chunk; waggle asks for one completion only."""

    delta: Delta = Delta()
    finish_reason: str | None = None
    logprobs: ChoiceLogprobs | None = None


class Usage(Struct, frozen=True):
    """What the server counted."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0


class SwarmNote(Struct, frozen=True, kw_only=True):
    """What a waggle gateway adds to its answer."""

    abstained: bool = False
    confidence: Annotated[float, Meta(ge=0, le=1)] | None = None


class Chunk(Struct, frozen=True, kw_only=True):
    """One event of a stream."""

    choices: Annotated[tuple[ChunkChoice, ...], Meta(max_length=8)] = ()
    usage: Usage | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")
    waggle: SwarmNote | None = None


class Embedding(Struct, frozen=True):
    """One vector."""

    embedding: Annotated[tuple[float, ...], Meta(min_length=1, max_length=65_536)]
    index: Count


class EmbeddingList(Struct, frozen=True):
    """The answer to POST /embeddings."""

    data: Annotated[tuple[Embedding, ...], Meta(max_length=4_096)]


class ModelMeta(Struct, frozen=True, kw_only=True):
    """llama.cpp's additions to a model's entry."""

    n_ctx: Count | None = None
    n_ctx_train: Count | None = None
    n_params: Annotated[int, Meta(ge=0, le=10**15)] | None = None


class SwarmModel(Struct, frozen=True, kw_only=True):
    """A waggle gateway's additions to a model's entry."""

    context_tokens: Count | None = None
    converses: bool | None = None
    calls_tools: bool | None = None


class Model(Struct, frozen=True, kw_only=True):
    """One entry of GET /models with the context lengths that vLLM, LM Studio and others add."""

    id: Annotated[str, Meta(max_length=1_000)]
    max_model_len: Count | None = None
    context_length: Count | None = None
    max_context_length: Count | None = None
    meta: ModelMeta | None = None
    waggle: SwarmModel | None = None

    def context_tokens(self) -> int | None:
        """The context length, where the server tells it under any of its names."""
        told = [self.max_model_len, self.context_length, self.max_context_length]
        told += [self.meta.n_ctx, self.meta.n_ctx_train] if self.meta else []
        told += [self.waggle.context_tokens] if self.waggle else []
        return next((length for length in told if length), None)


class ModelList(Struct, frozen=True):
    """The answer to GET /models."""

    data: Annotated[tuple[Model, ...], Meta(max_length=100_000)]


def read_as(body: bytes, shape: type[Wire]) -> Wire:
    """Decode what a server sent; anything of another shape is EngineRefused, and none of it gets into the message."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise EngineRefused("the server's answer has the wrong shape: is it OpenAI-compatible?") from None


def written(ask: ChatAsk | EmbeddingAsk) -> bytes:
    """Encode what is asked; text that is not valid Unicode is EngineRefused."""
    try:
        return msgspec.json.encode(ask)
    except UnicodeEncodeError:
        raise EngineRefused("the question is not valid Unicode text: remove the lone surrogates") from None
    except RecursionError:
        raise EngineRefused("the parameters of a tool are nested too deep") from None
