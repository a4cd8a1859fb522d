"""POST /v1/embeddings: one unit-length vector per text, from one model of the swarm.

The swarm as a whole has no embeddings: vectors of different models cannot be compared. Nodes do not count the tokens
of what they embed, so `usage` is an estimate of one token per four bytes.
"""

import base64
import math
import struct
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from waggle.core.asking import MAX_QUESTION_BYTES
from waggle.core.errors import EngineRefused, TooLong, WaggleError
from waggle.gateway.errors import ApiError, fault, of_waggle, too_long, unavailable, unknown_model
from waggle.gateway.jobs.calling import charger, place, refuse_extension
from waggle.gateway.jobs.choosing import SOLO, STRATEGIES
from waggle.gateway.jobs.streaming import answer_whole
from waggle.gateway.jobs.values import JsonObject
from waggle.gateway.shapes import Label, ModelName, Shape, text_or_more
from waggle.gateway.telling.description import ERRORS
from waggle.node.services.service import ServedModel, Service

router = APIRouter(tags=["embeddings"])
MAX_TEXTS = 2_048
MAX_LENGTH = 65_536
"""Numbers in a vector."""
BYTES_PER_TOKEN = 4


def _refuse_tokens(value: Any) -> Any:  # noqa: ANN401  # before validation it may be anything
    listed = value[:1] if isinstance(value, list) else ()
    if listed and not isinstance(listed[0], str):
        raise PydanticCustomError("token_arrays", "send texts: models of a swarm do not share a tokenizer")
    return value


EmbeddedText = Annotated[str, Field(min_length=1, max_length=MAX_QUESTION_BYTES)]


class EmbeddingRequest(Shape):
    """The body of POST /v1/embeddings."""

    input: Annotated[
        Annotated[EmbeddedText, Tag("(text)")]
        | Annotated[list[EmbeddedText], Field(min_length=1, max_length=MAX_TEXTS), Tag("(more)")],
        Discriminator(text_or_more),
        BeforeValidator(_refuse_tokens),
    ]
    model: ModelName
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1, le=MAX_LENGTH)] | None = None
    user: Label | None = None


class Embedding(BaseModel):
    """One vector: numbers, or the base64 of little-endian 32-bit floats."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    """An estimate."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    """The body of the response."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


@router.post("/v1/embeddings", response_model=EmbeddingList, responses=ERRORS)
async def create_embeddings(request: Request, body: EmbeddingRequest) -> Response:
    """Turn texts into vectors."""
    refuse_extension(request)
    return await answer_whole(request.receive, _embedded(request, body))


async def _embedded(request: Request, body: EmbeddingRequest) -> JsonObject:
    service: Service = request.app.state.service
    texts = [body.input] if isinstance(body.input, str) else body.input
    model, tokens = chosen_model(body.model, service.models()), tokens_in(texts)
    async with place(request):
        try:
            vectors = await service.embed(model.name, texts, request.app.state.options.request_seconds)
        except EngineRefused as error:
            raise _refusal(error, model) from error
        except WaggleError as error:
            raise of_waggle(error) from error
    check_vectors(vectors, len(texts), body.dimensions)
    charger(request)(tokens)
    data = [Embedding(index=i, embedding=encoded(v, body.encoding_format)) for i, v in enumerate(vectors)]
    usage = EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens)
    return EmbeddingList(data=data, model=body.model, usage=usage).model_dump()


def chosen_model(name: str, models: Sequence[ServedModel]) -> ServedModel:
    """The model that embeds: `solo/NAME` or its bare name. Raises ApiError for others, and for those that cannot."""
    if name in STRATEGIES:
        raise fault("model", "embeddings come from one model: ask for solo/<model>")
    by_name = {model.name: model for model in models}
    model = by_name.get(name) or by_name.get(name.removeprefix(SOLO))
    if model is None:
        raise unknown_model(name)
    if not model.embeds:
        raise fault("model", "this model has no embeddings")
    return model


def check_vectors(vectors: Sequence[Sequence[float]], count: int, dimensions: int | None) -> None:
    """Raise ApiError unless a node gave as many usable vectors as it was asked for, of the length asked for."""
    lengths = {len(vector) for vector in vectors}
    fit = len(vectors) == count and len(lengths) == 1 and 0 < max(lengths) <= MAX_LENGTH
    if not fit or not all(math.isfinite(x) and abs(x) <= 2.0 for vector in vectors for x in vector):
        raise unavailable("the model gave no usable vectors")
    if dimensions not in (None, *lengths):
        raise fault("dimensions", f"this model's vectors have {max(lengths)} numbers, and cannot be cut")


def encoded(vector: Sequence[float], form: str | None) -> list[float] | str:
    """A vector as it is sent."""
    if form != "base64":
        return list(vector)
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def tokens_in(texts: Sequence[str]) -> int:
    """About how many tokens these texts are: "hello world" has 11 bytes, so 3."""
    return sum(math.ceil(len(text.encode()) / BYTES_PER_TOKEN) for text in texts)


def _refusal(error: EngineRefused, model: ServedModel) -> ApiError:
    if isinstance(error, TooLong):
        return too_long("input", model.context_tokens)
    return ApiError(422, "the model cannot embed this", code="refused")
