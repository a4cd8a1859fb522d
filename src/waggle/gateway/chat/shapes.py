"""What a client may send to /v1/chat/completions and /v1/completions: OpenAI's fields, with bounds.

A standard field that cannot be honoured is declared with the values that change nothing (`Neutral`), so that any other
is refused by name. Fields that nobody knows are refused too. Shapes only: what they mean is in `to_values`.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import ValidatorFunctionWrapHandler

from waggle.gateway.options import KIB

MAX_MESSAGES = 512
MAX_TEXT = 512 * KIB
MAX_CHOICES = 8
MAX_TOKENS = 32_768
MAX_TOOLS = 128
MAX_ARGUMENTS = 64 * KIB
NAME = r"^[a-zA-Z0-9_-]{1,64}$"

Text = Annotated[str, Field(max_length=MAX_TEXT)]
Label = Annotated[str, Field(max_length=512)]
Name = Annotated[str, Field(pattern=NAME)]
CallId = Annotated[str, Field(min_length=1, max_length=256)]
Stop = Annotated[str, Field(min_length=1, max_length=256)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
TokenCount = Annotated[int, Field(ge=1, le=MAX_TOKENS)]


def _neutral(value: object, check: ValidatorFunctionWrapHandler) -> object:
    try:
        return check(value)
    except ValidationError:
        raise PydanticCustomError("unsupported_parameter", "is not supported here: leave it out") from None


Neutral = WrapValidator(_neutral)  # only values that change nothing
Unset = Annotated[Literal[None], Neutral]
Zero = Annotated[Annotated[float, Field(ge=0, le=0)] | None, Neutral]


class Shape(BaseModel):
    """Base of all: exact types, nothing unknown, never changed."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


def _kind(value: object) -> str:
    return "(text)" if isinstance(value, str) else "(parts)"


def _part(value: object) -> str:
    found = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return f"({found})"


def _choice(value: object) -> str:
    return "(word)" if isinstance(value, str) else "(tool)"


class TextPart(Shape):
    """The one kind of content part: text. Pictures and sound are refused, and no address is ever fetched."""

    type: Literal["text"]
    text: Text


class RefusalPart(Shape):
    """An assistant's refusal, sent back as part of the conversation."""

    type: Literal["refusal"]
    refusal: Text


TextParts = Annotated[list[TextPart], Field(min_length=1, max_length=256)]
SaidPart = Annotated[
    Annotated[TextPart, Tag("(text)")] | Annotated[RefusalPart, Tag("(refusal)")],
    Discriminator(
        _part,
        custom_error_type="unknown_part",
        custom_error_message="only text is taken: a part's type is one of text and refusal",
    ),
]
SaidParts = Annotated[list[SaidPart], Field(min_length=1, max_length=256)]
Content = Annotated[Annotated[Text, Tag("(text)")] | Annotated[TextParts, Tag("(parts)")], Discriminator(_kind)]
Said = Annotated[Annotated[Text, Tag("(text)")] | Annotated[SaidParts, Tag("(parts)")], Discriminator(_kind)]


class SystemMessage(Shape):
    """Instructions."""

    role: Literal["system", "developer"]
    content: Content
    name: Label | None = None


class UserMessage(Shape):
    """What a person says."""

    role: Literal["user"]
    content: Content
    name: Label | None = None


class CalledFunction(Shape):
    """Which function an assistant called, and with what: as a model wrote it."""

    name: CallId
    arguments: Annotated[str, Field(max_length=MAX_ARGUMENTS)]


class Call(Shape):
    """One call of a tool."""

    id: CallId
    type: Literal["function"] = "function"
    function: CalledFunction


class AssistantMessage(Shape):
    """What an assistant said or wanted to be run."""

    role: Literal["assistant"]
    content: Said | None = None
    refusal: Text | None = None
    name: Label | None = None
    tool_calls: Annotated[list[Call], Field(max_length=64)] | None = None
    audio: Unset = None
    function_call: Unset = None
    annotations: Annotated[list[Unset], Field(max_length=0)] | None = None


class ToolMessage(Shape):
    """What a tool gave back."""

    role: Literal["tool"]
    content: Content
    tool_call_id: CallId


def _role(value: object) -> str:
    role = value.get("role") if isinstance(value, dict) else getattr(value, "role", None)
    return "(system)" if role == "developer" else f"({role})"


Message = Annotated[
    Annotated[SystemMessage, Tag("(system)")]
    | Annotated[UserMessage, Tag("(user)")]
    | Annotated[AssistantMessage, Tag("(assistant)")]
    | Annotated[ToolMessage, Tag("(tool)")],
    Discriminator(
        _role,
        custom_error_type="unknown_role",
        custom_error_message="a message's role is one of system, developer, user, assistant and tool",
    ),
]


class Function(Shape):
    """A function that may be called; `parameters` is a JSON Schema."""

    name: Name
    description: Annotated[str, Field(max_length=MAX_ARGUMENTS)] | None = None
    parameters: dict[str, object] | None = None
    strict: bool | None = None


class FunctionTool(Shape):
    """A tool on offer."""

    type: Literal["function"]
    function: Function


class NamedFunction(Shape):
    """The name of a function."""

    name: Name


class NamedTool(Shape):
    """The one tool that has to be called."""

    type: Literal["function"]
    function: NamedFunction


class JsonSchema(Shape):
    """A schema that the answer has to fit."""

    name: Name
    description: Annotated[str, Field(max_length=MAX_ARGUMENTS)] | None = None
    schema_: Annotated[dict[str, object] | None, Field(alias="schema")] = None
    strict: bool | None = None


class ResponseFormat(Shape):
    """What form the answer has to have."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(Shape):
    """Options of a stream. There is no padding against those who measure packets, so obfuscation can only be off."""

    include_usage: bool | None = None
    include_obfuscation: Annotated[Literal[False] | None, Neutral] = None


class WaggleOptions(Shape):
    """What only a swarm understands; also sent as headers X-Waggle-Budget-Tokens and so on."""

    budget_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    budget_seconds: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] | None = None
    min_confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    proposers: Annotated[int, Field(ge=1, le=256)] | None = None
    judges: Annotated[int, Field(ge=0, le=256)] | None = None
    explain: bool | None = None
    stream: Literal["progress", "draft"] | None = None


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("(word)")] | Annotated[NamedTool, Tag("(tool)")],
    Discriminator(_choice),
]
Stops = Annotated[
    Annotated[Stop, Tag("(text)")] | Annotated[list[Stop], Field(max_length=4), Tag("(parts)")], Discriminator(_kind)
]
Prompts = Annotated[
    Annotated[Text, Tag("(text)")] | Annotated[list[Text], Field(min_length=1, max_length=MAX_CHOICES), Tag("(parts)")],
    Discriminator(_kind),
]


class Asked(Shape):
    """Fields that both ways of asking have."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    seed: Seed | None = None
    max_tokens: TokenCount | None = None
    stop: Stops | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: Label | None = None
    frequency_penalty: Zero = None
    presence_penalty: Zero = None
    logit_bias: Annotated[Annotated[dict[str, float], Field(max_length=0)] | None, Neutral] = None
    waggle: WaggleOptions | None = None


class ChatRequest(Asked):
    """The body of POST /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_completion_tokens: TokenCount | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[Literal[0] | None, Neutral] = None
    tools: Annotated[list[FunctionTool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: ToolChoice | None = None
    response_format: ResponseFormat | None = None
    parallel_tool_calls: bool | None = None
    metadata: Annotated[dict[Label, Label], Field(max_length=16)] | None = None
    service_tier: Annotated[Literal["auto", "default"] | None, Neutral] = None
    safety_identifier: Label | None = None
    prompt_cache_key: Label | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    reasoning_effort: Annotated[Literal["none"] | None, Neutral] = None
    verbosity: Annotated[Literal["medium"] | None, Neutral] = None
    modalities: Annotated[list[Literal["text"]] | None, Neutral] = None
    store: Annotated[Literal[False] | None, Neutral] = None
    audio: Unset = None
    prediction: Unset = None
    web_search_options: Unset = None
    moderation: Unset = None
    prompt_cache_options: Unset = None
    functions: Unset = None
    function_call: Unset = None


class CompletionRequest(Asked):
    """The body of POST /v1/completions; prompts are texts, not token numbers."""

    prompt: Prompts
    logprobs: Annotated[Literal[0] | None, Neutral] = None
    best_of: Annotated[Literal[1] | None, Neutral] = None
    echo: Annotated[Literal[False] | None, Neutral] = None
    suffix: Annotated[Literal[""] | None, Neutral] = None
