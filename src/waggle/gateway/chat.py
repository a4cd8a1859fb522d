"""POST /v1/chat/completions and the older /v1/completions: the routes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from fastapi import APIRouter, Request, Response

from waggle.gateway.answering import Wanted
from waggle.gateway.calling import CLIENT_GONE, answerer_of, extension_of, place, request_id, setting_of
from waggle.gateway.chat_shapes import Asked, ChatRequest, CompletionRequest, WaggleOptions
from waggle.gateway.chat_stream import Streaming, all_of, stream_answers
from waggle.gateway.conversation import fault
from waggle.gateway.json_answers import read_format
from waggle.gateway.json_text import to_json
from waggle.gateway.response_shapes import ANSWERS, ChatResponse, CompletionResponse
from waggle.gateway.streaming import ClientGone, EventStream, Write, until_gone
from waggle.gateway.strict_tools import strict_schemas
from waggle.gateway.to_chunks import ChatChunks, Chunks, TextChunks
from waggle.gateway.to_openai import Answer, Head, JsonObject, chat_completion, text_completion
from waggle.gateway.to_values import Job, chat_jobs, completion_jobs

router = APIRouter(prefix="/v1", tags=["completions"])


@dataclass(frozen=True)
class Dress:
    """How the answers of a route look, whole and in chunks."""

    whole: Callable[[Head, Sequence[Answer]], JsonObject]
    chunks: Chunks


CHAT, TEXT = Dress(chat_completion, ChatChunks()), Dress(text_completion, TextChunks())


@router.post("/chat/completions", response_model=ChatResponse, responses=ANSWERS)
async def create_chat_completion(body: ChatRequest, request: Request) -> Response:
    """Answer a conversation with the swarm, or with one model of it."""
    extension = extension_of(body.waggle, request.headers)
    form = body.response_format
    wished = None if form is None else form.model_dump(by_alias=True, exclude_none=True)
    strict = await strict_schemas(body.tools or ())
    wanted = Wanted(await read_format(wished, "response_format"), extension.budget_tokens, strict)
    jobs = chat_jobs(body, extension, setting_of(request))
    return await _respond(request, body, extension, wanted, jobs, CHAT)


@router.post("/completions", response_model=CompletionResponse, responses=ANSWERS)
async def create_completion(body: CompletionRequest, request: Request) -> Response:
    """Answer a text with the swarm, or with one model of it."""
    extension = extension_of(body.waggle, request.headers)
    return await _respond(
        request, body, extension, Wanted(), completion_jobs(body, extension, setting_of(request)), TEXT
    )


async def _respond(
    request: Request, body: Asked, extension: WaggleOptions, wanted: Wanted, jobs: Sequence[Job], dress: Dress
) -> Response:
    if body.stream_options is not None and not body.stream:
        raise fault("stream_options", "only a stream has them")
    head = Head(request=request_id(request), created=int(time.time()), model=body.model)
    streaming = Streaming(
        answerer=answerer_of(request, head, extension),
        head=head,
        shape=dress.chunks,
        wanted=wanted,
        keep_alive_seconds=request.app.state.options.keep_alive_seconds,
        usage=bool(body.stream_options and body.stream_options.include_usage),
        drafts=extension.stream == "draft",
    )
    if body.stream:
        return EventStream(partial(_stream, request, streaming, jobs))
    try:
        answers = await until_gone(request.receive, _whole(request, streaming, jobs))
    except ClientGone:
        return Response(status_code=CLIENT_GONE)
    return Response(to_json(dress.whole(head, answers)), media_type="application/json")


async def _whole(request: Request, streaming: Streaming, jobs: Sequence[Job]) -> list[Answer]:
    wanted, named, answer = streaming.wanted, streaming.head.request, streaming.answerer.answer
    async with place(request):
        return await all_of([wanted.of(job, named, number, answer) for number, job in enumerate(jobs)])


async def _stream(request: Request, streaming: Streaming, jobs: Sequence[Job], write: Write) -> None:
    async with place(request):
        await stream_answers(streaming, jobs, write)
