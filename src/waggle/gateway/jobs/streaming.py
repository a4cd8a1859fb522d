"""Answers on their way out: whole, as JSON in one line, or piece by piece as server-sent events.

Nothing is queued: a piece is made when the one before it has been taken, so a slow reader slows its own answer down and
holds no memory, and one that takes nothing for long is dropped. When the client goes away the work for it is cancelled.
Text of a model only ever stands inside JSON strings, so it can neither end the stream nor begin an event.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TypeVar

import msgspec
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from waggle.gateway.errors import ApiError, error_body, internal
from waggle.node.observing.logs import facts

log = logging.getLogger(__name__)
T = TypeVar("T")
_encode = msgspec.json.Encoder().encode
Write = Callable[[bytes], Awaitable[None]]
SEND_SECONDS = 30.0  # a reader that takes nothing for this long is dropped
CLIENT_GONE = 499  # the status of an answer that nobody reads
DONE = b"data: [DONE]\n\n"
END: Message = {"type": "http.response.body", "body": b"", "more_body": False}


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


async def until_gone(receive: Receive, work: Coroutine[object, object, T]) -> T:
    """Do the work, unless the client goes away first: then it is cancelled. Raises ClientGone."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def answer_whole(receive: Receive, work: Coroutine[object, object, object]) -> Response:
    """What the work makes, as the JSON of one answer; its client may go away meanwhile."""
    try:
        made = await until_gone(receive, work)
    except ClientGone:
        return Response(status_code=CLIENT_GONE)
    return Response(to_json(made), media_type="application/json")


def to_json(value: object) -> bytes:
    """A value as JSON in one line; not-a-number becomes null, half a character of an odd model its escape."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value)).encode()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream(Response):
    """A stream of events that `produce` writes. The headers go out with the first one.

    What fails before that is answered with a status as usual, what fails later with an event that holds the error.
    """

    media_type = "text/event-stream"

    def __init__(
        self, produce: Callable[[Write], Coroutine[object, object, None]], *, send_seconds: float = SEND_SECONDS
    ) -> None:
        """Send what `produce` writes to a reader that takes every piece within `send_seconds`."""
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        self.raw_headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        self._produce = produce
        self._send_seconds = send_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream; ends early and quietly when the client goes away."""
        with suppress(ClientGone):
            await until_gone(receive, self._run(send))

    async def _run(self, send: Send) -> None:
        started = False

        async def write(events: bytes) -> None:
            nonlocal started
            if not started:
                started = True
                await self._taken(send, {"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._taken(send, {"type": "http.response.body", "body": events, "more_body": True})

        try:
            await self._produce(write)
        except ClientGone:
            raise
        except Exception as error:
            if not started:
                raise
            told = error if isinstance(error, ApiError) else internal()
            note_failure(told)
            await write(event(error_body(told)))
            await self._taken(send, END)
            if told is not error:
                raise
        else:
            await self._taken(send, END)

    async def _taken(self, send: Send, message: Message) -> None:
        try:
            async with asyncio.timeout(self._send_seconds):
                await send(message)
        except (TimeoutError, OSError):
            raise ClientGone from None


def note_failure(error: ApiError) -> None:
    """Log that a stream ended with an error: its status said that all was well."""
    level = logging.WARNING if error.status >= internal().status else logging.INFO
    log.log(level, "stream failed", extra=facts(status=error.status, code=error.code))


def event(value: object, name: str | None = None) -> bytes:
    """One event that holds a JSON value, in one line whatever it holds."""
    head = b"" if name is None else f"event: {name}\n".encode()
    return head + b"data: " + to_json(value) + b"\n\n"


def comment(text: str) -> bytes:
    """A line that clients skip, of our own words only."""
    return f": {text}\n\n".encode()
