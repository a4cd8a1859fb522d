"""POST /v1/responses: the newer way to ask, answered by the same jobs as a chat. Nothing is kept between requests."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from waggle.gateway.chat.to_values import chat_jobs
from waggle.gateway.errors import ApiError, fault
from waggle.gateway.jobs.answering import Answerer
from waggle.gateway.jobs.calling import answerer_of, extension_of, in_words_of, place, request_id, setting_of
from waggle.gateway.jobs.streaming import EventStream, Write, answer_whole
from waggle.gateway.jobs.values import Answer, ForModel, Head, Job, JsonObject, Task
from waggle.gateway.jobs.wanted import Wanted
from waggle.gateway.jobs.watching import overheard, watched
from waggle.gateway.responses.inputs import chat_of, in_words_of_responses
from waggle.gateway.responses.output import response_of
from waggle.gateway.responses.shapes import ResponsesRequest
from waggle.gateway.responses.stream import ResponseEvents, Told
from waggle.gateway.structured.answers import JsonFormat, read_format, strict_schemas
from waggle.gateway.telling.description import ERRORS, WaggleShape

router = APIRouter(prefix="/v1", tags=["responses"])


EVENT = {
    "type": "object",
    "properties": {"event": {"type": "string"}, "data": {"type": "string", "contentMediaType": "application/json"}},
    "required": ["event", "data"],
}
STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"itemSchema": EVENT}}}}


class ResponseUsage(BaseModel):
    """Tokens of all calls that the answer took."""

    input_tokens: int
    input_tokens_details: dict[str, int]
    output_tokens: int
    output_tokens_details: dict[str, int]
    total_tokens: int


class ResponseBody(BaseModel):
    """The body of a response; it also repeats what was asked for. Described here, not checked against."""

    id: str
    created_at: float
    status: Literal["completed", "incomplete"]
    model: str
    output: list[dict[str, object]]
    usage: ResponseUsage
    store: Literal[False]
    waggle: WaggleShape
    object: Literal["response"]


@router.post("/responses", response_model=ResponseBody, responses=ERRORS | STREAM)
async def create_response(body: ResponsesRequest, request: Request) -> Response:
    """Answer an input with the swarm, or with one model of it."""
    extension = extension_of(request, body.waggle)
    form = await _form(body)
    if body.stream_options is not None and not body.stream:
        raise fault("stream_options", "only a stream has them")
    with _named(request, body):
        chat = chat_of(body)
        strict = await strict_schemas(body.tools or ())
        (task,) = chat_jobs(chat, extension, setting_of(request))
    head = Head(request=request_id(request), created=int(time.time()), model=body.model)
    wanted = Wanted(form, extension.budget_tokens, strict, body.parallel_tool_calls is False)
    response = _Response(answerer_of(request, head, extension), head, task, wanted, extension.stream == "draft")
    if body.stream:
        return EventStream(partial(_stream, request, body, response))
    return await answer_whole(request.receive, _whole(request, body, response))


@dataclass(frozen=True)
class _Response:
    """How one response is made."""

    answerer: Answerer
    head: Head
    task: Task
    wanted: Wanted
    drafts: bool

    async def make(self, keep_alive_seconds: float, told: Told | None = None) -> Answer:
        """Make it, and tell of it meanwhile. Raises ApiError."""

        live = isinstance(self.task, ForModel) and self.wanted.form is None

        async def do(job: Job, request: str) -> Answer:
            if told is None:
                return await self.answerer.answer(job, request)
            if live:
                return await overheard(self.answerer, job, request, keep_alive_seconds, told.piece, told.sign)
            return await watched(self.answerer, job, request, keep_alive_seconds, told.sign)

        return await self.wanted.of(self.task, self.head.request, 0, do)


@contextmanager
def _named(request: Request, body: ResponsesRequest) -> Iterator[None]:
    """Name what is at fault as the client did. Raises ApiError, what was raised inside."""
    try:
        with in_words_of(request, body.waggle):
            yield
    except ApiError as error:
        raise in_words_of_responses(error) from error


async def _whole(request: Request, body: ResponsesRequest, response: _Response) -> JsonObject:
    with _named(request, body):
        async with place(request):
            answer = await response.make(request.app.state.options.keep_alive_seconds)
    return response_of(body, response.head, answer, time.time())


async def _stream(request: Request, body: ResponsesRequest, response: _Response, write: Write) -> None:
    seconds = request.app.state.options.keep_alive_seconds
    async with place(request):
        events = ResponseEvents(body, response.head, write, drafts=response.drafts)

        async def make(told: Told) -> Answer:
            with _named(request, body):
                return await response.make(seconds, told)

        await events.tell(make)


async def _form(body: ResponsesRequest) -> JsonFormat | None:
    if body.text is None or body.text.format is None:
        return None
    return await read_format(body.text.format.model_dump(by_alias=True, exclude_none=True), "text.format")
