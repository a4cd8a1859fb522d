"""POST /v1/responses: the newer way to ask, answered by the same jobs as a chat. Nothing is kept between requests."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from waggle.gateway.answering import Answerer, Wanted
from waggle.gateway.calling import CLIENT_GONE, answerer_of, extension_of, place, request_id, setting_of
from waggle.gateway.conversation import fault
from waggle.gateway.errors import ApiError
from waggle.gateway.json_answers import JsonFormat, read_format
from waggle.gateway.json_text import to_json
from waggle.gateway.response_shapes import ERRORS, WaggleShape
from waggle.gateway.responses_input import chat_of, renamed
from waggle.gateway.responses_output import response_of
from waggle.gateway.responses_shapes import ResponsesRequest
from waggle.gateway.responses_stream import ResponseEvents, Told
from waggle.gateway.streaming import ClientGone, EventStream, Write, until_gone
from waggle.gateway.strict_tools import strict_schemas
from waggle.gateway.to_openai import Answer, Head
from waggle.gateway.to_values import ForModel, Job, chat_jobs
from waggle.gateway.watching import watched

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
    extension = extension_of(body.waggle, request.headers)
    form = await _form(body)
    if body.stream_options is not None and not body.stream:
        raise fault("stream_options", "only a stream has them")
    try:
        chat = chat_of(body)
        strict = await strict_schemas(chat.tools or ())
        (job,) = chat_jobs(chat, extension, setting_of(request))
    except ApiError as error:
        raise renamed(error) from error
    head = Head(request=request_id(request), created=int(time.time()), model=body.model)
    wanted = Wanted(form, extension.budget_tokens, strict)
    response = _Response(answerer_of(request, head, extension), head, job, wanted, extension.stream == "draft")
    if body.stream:
        return EventStream(partial(_stream, request, body, response))
    try:
        answer = await until_gone(request.receive, _whole(request, response))
    except ClientGone:
        return Response(status_code=CLIENT_GONE)
    return Response(to_json(response_of(body, head, answer, time.time())), media_type="application/json")


@dataclass(frozen=True)
class _Response:
    """How one response is made."""

    answerer: Answerer
    head: Head
    job: Job
    wanted: Wanted
    drafts: bool

    async def make(self, keep_alive_seconds: float, told: Told | None = None) -> Answer:
        """Make it, and tell of it meanwhile. Raises ApiError."""

        async def do(job: Job, request: str) -> Answer:
            if told is None:
                return await self.answerer.answer(job, request)
            if isinstance(job, ForModel) and self.wanted.form is None:
                return await self.answerer.answer(job, request, heard=told.piece)
            return await watched(self.answerer, job, request, keep_alive_seconds, told.sign)

        return await self.wanted.of(self.job, self.head.request, 0, do)


async def _whole(request: Request, response: _Response) -> Answer:
    async with place(request):
        return await response.make(request.app.state.options.keep_alive_seconds)


async def _stream(request: Request, body: ResponsesRequest, response: _Response, write: Write) -> None:
    seconds = request.app.state.options.keep_alive_seconds
    async with place(request):
        events = ResponseEvents(body, response.head, write, drafts=response.drafts)
        await events.tell(partial(response.make, seconds))


async def _form(body: ResponsesRequest) -> JsonFormat | None:
    if body.text is None or body.text.format is None:
        return None
    return await read_format(body.text.format.model_dump(by_alias=True, exclude_none=True), "text.format")
