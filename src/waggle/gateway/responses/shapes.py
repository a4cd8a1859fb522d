"""What a client may send to /v1/responses: OpenAI's fields, with bounds.

As in `chat_shapes`, a standard field that cannot be honoured is declared with the values that change nothing. Nothing
is kept between requests, so fields that would need that are declared only to be refused with a reason.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from waggle.gateway.chat.shapes import (
    MAX_ARGUMENTS,
    MAX_MESSAGES,
    MAX_TOOLS,
    CallId,
    Label,
    Name,
    Neutral,
    Shape,
    Text,
    TokenCount,
    Unset,
    WaggleOptions,
)

Status = Literal["in_progress", "completed", "incomplete"] | None
Phase = Literal["commentary", "final_answer"] | None
Nothing = Annotated[list[Unset], Field(max_length=0)] | None


def _kind(value: object) -> str:
    return "(text)" if isinstance(value, str) else "(list)"


def _part(value: object) -> str:
    found = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return f"({found})"


class InputText(Shape):
    """Text of a user, or of instructions; pictures, sound and files are refused, and no address is ever fetched."""

    type: Literal["input_text"]
    text: Text


class OutputText(Shape):
    """Text of an assistant, sent back as part of the conversation."""

    type: Literal["output_text"]
    text: Text
    annotations: Nothing = None
    logprobs: Nothing = None


class OutputRefusal(Shape):
    """An assistant's refusal, sent back."""

    type: Literal["refusal"]
    refusal: Text


Part = Annotated[
    Annotated[InputText, Tag("(input_text)")]
    | Annotated[OutputText, Tag("(output_text)")]
    | Annotated[OutputRefusal, Tag("(refusal)")],
    Discriminator(
        _part,
        custom_error_type="unknown_part",
        custom_error_message="only text is taken: a part's type is one of input_text, output_text and refusal",
    ),
]
Parts = Annotated[list[Part], Field(min_length=1, max_length=256)]
TextParts = Annotated[list[InputText], Field(min_length=1, max_length=256)]
Content = Annotated[Annotated[Text, Tag("(text)")] | Annotated[Parts, Tag("(list)")], Discriminator(_kind)]
ToolText = Annotated[Annotated[Text, Tag("(text)")] | Annotated[TextParts, Tag("(list)")], Discriminator(_kind)]


class MessageItem(Shape):
    """Somebody said something."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Content
    id: Label | None = None
    status: Status = None
    phase: Phase = None


class FunctionCallItem(Shape):
    """An assistant wanted a function to be called."""

    type: Literal["function_call"]
    call_id: CallId
    name: Name
    arguments: Annotated[str, Field(max_length=MAX_ARGUMENTS)]
    id: Label | None = None
    status: Status = None


class FunctionOutputItem(Shape):
    """What the function gave back."""

    type: Literal["function_call_output"]
    call_id: CallId
    output: ToolText
    id: Label | None = None
    status: Status = None


def _type_of(value: object) -> str:
    found = value.get("type", "message") if isinstance(value, dict) else getattr(value, "type", None)
    return f"({found})"


Item = Annotated[
    Annotated[MessageItem, Tag("(message)")]
    | Annotated[FunctionCallItem, Tag("(function_call)")]
    | Annotated[FunctionOutputItem, Tag("(function_call_output)")],
    Discriminator(
        _type_of,
        custom_error_type="unknown_item",
        custom_error_message="an item's type is one of message, function_call and function_call_output",
    ),
]
Items = Annotated[list[Item], Field(min_length=1, max_length=MAX_MESSAGES)]
Input = Annotated[Annotated[Text, Tag("(text)")] | Annotated[Items, Tag("(list)")], Discriminator(_kind)]


class FlatFunctionTool(Shape):
    """A function on offer; `parameters` is a JSON Schema. OpenAI's own tools are not run here."""

    type: Literal["function"]
    name: Name
    description: Annotated[str, Field(max_length=MAX_ARGUMENTS)] | None = None
    parameters: dict[str, object] | None = None
    strict: bool | None = None


class ChosenFunction(Shape):
    """The one function that has to be called."""

    type: Literal["function"]
    name: Name


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("(text)")] | Annotated[ChosenFunction, Tag("(list)")],
    Discriminator(_kind),
]
Conversation = Annotated[
    Annotated[Label, Tag("(text)")] | Annotated[dict[str, object], Tag("(list)")], Discriminator(_kind)
]


class TextFormat(Shape):
    """What form the answer has to have; `name` and `schema` belong to json_schema."""

    model_config = ConfigDict(**(Shape.model_config | {"serialize_by_alias": True}))

    type: Literal["text", "json_object", "json_schema"]
    name: Name | None = None
    description: Annotated[str, Field(max_length=MAX_ARGUMENTS)] | None = None
    schema_: Annotated[dict[str, object] | None, Field(alias="schema")] = None
    strict: bool | None = None


class TextConfig(Shape):
    """How the text has to be."""

    format: TextFormat | None = None
    verbosity: Annotated[Literal["medium"] | None, Neutral] = None


class Reasoning(Shape):
    """Effort can only be none: how long a model thinks is its own affair."""

    effort: Annotated[Literal["none"] | None, Neutral] = None
    summary: Unset = None
    generate_summary: Unset = None


class ResponseStreamOptions(Shape):
    """There is no padding against those who measure packets, so it can only be off."""

    include_obfuscation: Annotated[Literal[False] | None, Neutral] = None


class ResponsesRequest(Shape):
    """The body of POST /v1/responses."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    input: Input
    instructions: Text | None = None
    tools: Annotated[list[FlatFunctionTool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    max_output_tokens: TokenCount | None = None
    text: TextConfig | None = None
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    metadata: Annotated[dict[Label, Label], Field(max_length=16)] | None = None
    user: Label | None = None
    safety_identifier: Label | None = None
    prompt_cache_key: Label | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    service_tier: Annotated[Literal["auto", "default"] | None, Neutral] = None
    truncation: Annotated[Literal["disabled"] | None, Neutral] = None
    reasoning: Reasoning | None = None
    include: Annotated[list[Unset] | None, Field(max_length=0), Neutral] = None
    top_logprobs: Annotated[Literal[0] | None, Neutral] = None
    max_tool_calls: Unset = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: Label | None = None
    conversation: Conversation | None = None
    prompt: dict[str, object] | None = None
    waggle: WaggleOptions | None = None
