"""What a client may send to /v1/chat/completions and /v1/completions. What it means is in `to_values`."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from waggle.gateway.shapes import (
    MAX_ARGUMENTS,
    MAX_CHOICES,
    MAX_MESSAGES,
    MAX_TOOLS,
    CallId,
    Description,
    Dialogue,
    Function,
    Label,
    Name,
    NamedFunction,
    Neutral,
    OfFunction,
    Question,
    Shape,
    Text,
    TokenCount,
    Unset,
    by_field,
    text_or_more,
)

Stop = Annotated[str, Field(min_length=1, max_length=256)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
Zero = Annotated[Annotated[float, Field(ge=0, le=0)] | None, Neutral]


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
        by_field("type"),
        custom_error_type="unknown_part",
        custom_error_message="only text is taken: a part's type is one of text and refusal",
    ),
]
SaidParts = Annotated[list[SaidPart], Field(min_length=1, max_length=256)]
Content = Annotated[Annotated[Text, Tag("(text)")] | Annotated[TextParts, Tag("(more)")], Discriminator(text_or_more)]
Said = Annotated[Annotated[Text, Tag("(text)")] | Annotated[SaidParts, Tag("(more)")], Discriminator(text_or_more)]


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
    role = by_field("role")(value)
    return "(system)" if role == "(developer)" else role


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


class FunctionTool(OfFunction):
    """A tool on offer."""

    function: Function


class NamedTool(OfFunction):
    """The one tool that has to be called."""

    function: NamedFunction


class JsonSchema(Shape):
    """A schema that the answer has to fit."""

    name: Name
    description: Description | None = None
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


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("(text)")] | Annotated[NamedTool, Tag("(more)")],
    Discriminator(text_or_more),
]
Stops = Annotated[
    Annotated[Stop, Tag("(text)")] | Annotated[list[Stop], Field(max_length=4), Tag("(more)")],
    Discriminator(text_or_more),
]
Prompts = Annotated[
    Annotated[Text, Tag("(text)")] | Annotated[list[Text], Field(min_length=1, max_length=MAX_CHOICES), Tag("(more)")],
    Discriminator(text_or_more),
]


class Asked(Question):
    """Fields that both ways of asking here have."""

    seed: Seed | None = None
    max_tokens: TokenCount | None = None
    stop: Stops | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    stream_options: StreamOptions | None = None
    frequency_penalty: Zero = None
    presence_penalty: Zero = None
    logit_bias: Annotated[Annotated[dict[str, float], Field(max_length=0)] | None, Neutral] = None


class ChatRequest(Asked, Dialogue):
    """The body of POST /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_completion_tokens: TokenCount | None = None
    logprobs: bool | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: ToolChoice | None = None
    response_format: ResponseFormat | None = None
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
