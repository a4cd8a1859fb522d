"""What a client may send to /v1/responses.

Nothing is kept between requests, so fields that would need that are declared only to be refused with a reason.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from waggle.gateway.shapes import (
    MAX_ARGUMENTS,
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
    Shape,
    Text,
    TokenCount,
    Unset,
    by_field,
    text_or_more,
)

Status = Literal["in_progress", "completed", "incomplete"] | None
Phase = Literal["commentary", "final_answer"] | None
Nothing = Annotated[list[Unset], Field(max_length=0)] | None


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
        by_field("type"),
        custom_error_type="unknown_part",
        custom_error_message="only text is taken: a part's type is one of input_text, output_text and refusal",
    ),
]
Parts = Annotated[list[Part], Field(min_length=1, max_length=256)]
TextParts = Annotated[list[InputText], Field(min_length=1, max_length=256)]
Content = Annotated[Annotated[Text, Tag("(text)")] | Annotated[Parts, Tag("(more)")], Discriminator(text_or_more)]
ToolText = Annotated[Annotated[Text, Tag("(text)")] | Annotated[TextParts, Tag("(more)")], Discriminator(text_or_more)]


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


Item = Annotated[
    Annotated[MessageItem, Tag("(message)")]
    | Annotated[FunctionCallItem, Tag("(function_call)")]
    | Annotated[FunctionOutputItem, Tag("(function_call_output)")],
    Discriminator(
        by_field("type", "message"),
        custom_error_type="unknown_item",
        custom_error_message="an item's type is one of message, function_call and function_call_output",
    ),
]
Items = Annotated[list[Item], Field(min_length=1, max_length=MAX_MESSAGES)]
Input = Annotated[Annotated[Text, Tag("(text)")] | Annotated[Items, Tag("(more)")], Discriminator(text_or_more)]


class FlatFunctionTool(Function, OfFunction):
    """A function on offer."""


class ChosenFunction(NamedFunction, OfFunction):
    """The one function that has to be called."""


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("(text)")] | Annotated[ChosenFunction, Tag("(more)")],
    Discriminator(text_or_more),
]
Conversation = Annotated[
    Annotated[Label, Tag("(text)")] | Annotated[dict[str, object], Tag("(more)")], Discriminator(text_or_more)
]


class TextFormat(Shape):
    """What form the answer has to have; `name` and `schema` belong to json_schema."""

    model_config = ConfigDict(**(Shape.model_config | {"serialize_by_alias": True}))

    type: Literal["text", "json_object", "json_schema"]
    name: Name | None = None
    description: Description | None = None
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


class ResponsesRequest(Dialogue):
    """The body of POST /v1/responses."""

    input: Input
    instructions: Text | None = None
    tools: Annotated[list[FlatFunctionTool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: ToolChoice | None = None
    max_output_tokens: TokenCount | None = None
    text: TextConfig | None = None
    stream_options: ResponseStreamOptions | None = None
    truncation: Annotated[Literal["disabled"] | None, Neutral] = None
    reasoning: Reasoning | None = None
    include: Annotated[list[Unset] | None, Field(max_length=0), Neutral] = None
    max_tool_calls: Unset = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: Label | None = None
    conversation: Conversation | None = None
    prompt: dict[str, object] | None = None
