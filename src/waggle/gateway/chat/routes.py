"""POST /v1/chat/completions and the older /v1/completions: the routes."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from fastapi import APIRouter, Request, Response

from waggle.gateway.chat.described import ChatResponse, CompletionResponse
from waggle.gateway.chat.shapes import Asked, ChatRequest, CompletionRequest
from waggle.gateway.chat.stream import Streaming, all_of, stream_answers
from waggle.gateway.chat.to_openai import ChatChunks, Chunks, TextChunks, chat_completion, text_completion
from waggle.gateway.chat.to_values import chat_jobs, completion_jobs
from waggle.gateway.errors import fault
from waggle.gateway.jobs.calling import answerer_of, extension_of, in_words_of, place, request_id, setting_of
from waggle.gateway.jobs.streaming import EventStream, Write, answer_whole
from waggle.gateway.jobs.values import Answer, Head, JsonObject, Task
from waggle.gateway.jobs.wanted import Wanted
from waggle.gateway.shapes import WaggleOptions
from waggle.gateway.structured.answers import read_format, strict_schemas
from waggle.gateway.telling.description import ANSWERS

router = APIRouter(prefix="/v1", tags=["completions"])


@dataclass(frozen=True)
class Dress:
    """How the answers of a route look, whole and in chunks."""

    whole: Callable[[Head, Sequence[Answer]], JsonObject]
    chunks: Chunks


CHAT, TEXT = Dress(chat_completion, ChatChunks()), Dress(text_completion, TextChunks())


@dataclass(frozen=True)
class Call:
    """One request; `names` are what the client calls the fields that errors name."""

    request: Request
    body: Asked
    extension: WaggleOptions
    wanted: Wanted
    dress: Dress
    names: Mapping[str, str]

    def named(self) -> AbstractContextManager[None]:
        """Errors from inside name what is at fault as the client did."""
        return in_words_of(self.request, self.body.waggle, self.names)


@router.post("/chat/completions", response_model=ChatResponse, responses=ANSWERS)
async def create_chat_completion(body: ChatRequest, request: Request) -> Response:
    """Answer a conversation with the swarm, or with one model of it."""
    extension = extension_of(request, body.waggle)
    form = body.response_format
    wished = None if form is None else form.model_dump(by_alias=True, exclude_none=True)
    strict = await strict_schemas([tool.function for tool in body.tools or ()])
    one_call = body.parallel_tool_calls is False
    wanted = Wanted(await read_format(wished, "response_format"), extension.budget_tokens, strict, one_call)
    longest = "max_completion_tokens" if body.max_completion_tokens is not None else "max_tokens"
    asked = Call(request, body, extension, wanted, CHAT, {"max_tokens": longest})
    with asked.named():
        tasks = chat_jobs(body, extension, setting_of(request))
    return await _respond(asked, tasks)


@router.post("/completions", response_model=CompletionResponse, responses=ANSWERS)
async def create_completion(body: CompletionRequest, request: Request) -> Response:
    """Answer a text with the swarm, or with one model of it."""
    extension = extension_of(request, body.waggle)
    asked = Call(request, body, extension, Wanted(), TEXT, {"messages": "prompt"})
    with asked.named():
        tasks = completion_jobs(body, extension, setting_of(request))
    return await _respond(asked, tasks)


async def _respond(asked: Call, tasks: Sequence[Task]) -> Response:
    request, body, extension = asked.request, asked.body, asked.extension
    if body.stream_options is not None and not body.stream:
        raise fault("stream_options", "only a stream has them")
    head = Head(request=request_id(request), created=int(time.time()), model=body.model)
    streaming = Streaming(
        answerer=answerer_of(request, head, extension),
        head=head,
        shape=asked.dress.chunks,
        wanted=asked.wanted,
        keep_alive_seconds=request.app.state.options.keep_alive_seconds,
        usage=bool(body.stream_options and body.stream_options.include_usage),
        drafts=extension.stream == "draft",
    )
    if body.stream:
        return EventStream(partial(_stream, asked, streaming, tasks))
    return await answer_whole(request.receive, _whole(asked, streaming, tasks))


async def _whole(asked: Call, streaming: Streaming, tasks: Sequence[Task]) -> JsonObject:
    wanted, head, answer = streaming.wanted, streaming.head, streaming.answerer.answer
    with asked.named():
        async with place(asked.request):
            made = await all_of([wanted.of(task, head.request, number, answer) for number, task in enumerate(tasks)])
    return asked.dress.whole(head, made)


async def _stream(asked: Call, streaming: Streaming, tasks: Sequence[Task], write: Write) -> None:
    with asked.named():
        async with place(asked.request):
            await stream_answers(streaming, tasks, write)
