"""What the bodies of all routes are made of: OpenAI's fields, with bounds.

A standard field that cannot be honoured is declared with the values that change nothing (`Neutral`), so that any other
is refused by name. Fields that nobody knows are refused too.
"""

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import ValidatorFunctionWrapHandler

from waggle.gateway.options import KIB

MAX_MESSAGES = 512
MAX_TEXT = 512 * KIB
MAX_CHOICES = 8
MAX_TOKENS = 32_768
MAX_TOOLS = 128
MAX_ARGUMENTS = 64 * KIB

Text = Annotated[str, Field(max_length=MAX_TEXT)]
Label = Annotated[str, Field(max_length=512)]
Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
Description = Annotated[str, Field(max_length=MAX_ARGUMENTS)]
ModelName = Annotated[str, Field(min_length=1, max_length=256)]
CallId = Annotated[str, Field(min_length=1, max_length=256)]
TokenCount = Annotated[int, Field(ge=1, le=MAX_TOKENS)]


def _neutral(value: object, check: ValidatorFunctionWrapHandler) -> object:
    try:
        return check(value)
    except ValidationError:
        raise PydanticCustomError("unsupported_parameter", "is not supported here: leave it out") from None


Neutral = WrapValidator(_neutral)  # only values that change nothing
Unset = Annotated[Literal[None], Neutral]


def text_or_more(value: object) -> str:
    """The tag of a choice between a text and something larger; tags are in parentheses, and no error names them."""
    return "(text)" if isinstance(value, str) else "(more)"


def by_field(name: str, default: str | None = None) -> Callable[[object], str]:
    """Chooses between shapes by what one field of theirs says."""

    def tag(value: object) -> str:
        found = value.get(name, default) if isinstance(value, dict) else getattr(value, name, None)
        return f"({found})"

    return tag


class Shape(BaseModel):
    """Base of all: exact types, nothing unknown, never changed."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class OfFunction(Shape):
    """A tool that is a function: OpenAI's own tools are not run here."""

    type: Literal["function"]


class NamedFunction(Shape):
    """The name of a function."""

    name: Name


class Function(NamedFunction):
    """A function that may be called; `parameters` is a JSON Schema."""

    description: Description | None = None
    parameters: dict[str, object] | None = None
    strict: bool | None = None


class WaggleOptions(Shape):
    """What only a swarm understands; also sent as headers X-Waggle-Budget-Tokens and so on."""

    budget_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    budget_seconds: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] | None = None
    min_confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    proposers: Annotated[int, Field(ge=1, le=256)] | None = None
    judges: Annotated[int, Field(ge=0, le=256)] | None = None
    explain: bool | None = None
    stream: Literal["progress", "draft"] | None = None


class Question(Shape):
    """Fields that all ways of asking have."""

    model: ModelName
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    stream: bool | None = None
    user: Label | None = None
    waggle: WaggleOptions | None = None


class Dialogue(Question):
    """Fields that both ways to hold a conversation have."""

    parallel_tool_calls: bool | None = None
    metadata: Annotated[dict[Label, Label], Field(max_length=16)] | None = None
    service_tier: Annotated[Literal["auto", "default"] | None, Neutral] = None
    safety_identifier: Label | None = None
    prompt_cache_key: Label | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    top_logprobs: Annotated[Literal[0] | None, Neutral] = None
