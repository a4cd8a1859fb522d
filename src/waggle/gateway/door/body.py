"""Bodies of requests, read whole before a route sees them: bounded in bytes, in time, and in all that are held at once.

What a header says of a body's length is used to refuse it early and never to believe it. A body counts against the
room of the gateway until its request has been answered.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NoReturn

from starlette.types import Message, Receive

from waggle.gateway.door.asked import Asked, refused

BODY_SECONDS = 20.0
DRAINED_BYTES, DRAIN_SECONDS = 32 * 1024 * 1024, 2.0
BODIES_AT_ONCE = 64
"""So many bodies of the largest size; a body of 2 kB takes a thousandth of a place."""


class CallerGone(Exception):
    """Nobody is there any more to be answered."""


class Bodies:
    """Reads the bodies of one gateway's requests."""

    def __init__(self, *, most_bytes: int, seconds: float = BODY_SECONDS, at_once: int = BODIES_AT_ONCE) -> None:
        """None yet; `most_bytes` is for one body, and one may take `seconds` to arrive."""
        self._most_bytes = most_bytes
        self._seconds = seconds
        self._room = most_bytes * at_once

    @asynccontextmanager
    async def held(self, asked: Asked, receive: Receive) -> AsyncIterator[bytes]:
        """The body; it has room until the end of the block.

        Raises:
            ApiError: too large, too slow, or no room for it now. CallerGone: the connection was lost.
        """
        parts: list[bytes] = []
        try:
            try:
                async with asyncio.timeout(self._seconds):
                    if self._fits(asked):
                        await self._read(parts, receive)
                    else:
                        await self._refuse_large(receive)
            except TimeoutError:
                raise refused(408, "the body did not arrive in time", "body_timeout") from None
            yield b"".join(parts)
        finally:
            self._room += sum(map(len, parts))

    def _fits(self, asked: Asked) -> bool:
        """Whether the body says to be small enough, where it says anything."""
        length = asked.header(b"content-length") or "0"
        if not (length.isascii() and length.isdigit() and len(length) <= 18):
            raise refused(400, "the Content-Length is no number", "bad_length")
        return int(length) <= self._most_bytes

    async def _read(self, parts: list[bytes], receive: Receive) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise CallerGone
            part, more = message.get("body", b""), message.get("more_body", False)
            size += len(part)
            if size > self._most_bytes:
                await self._refuse_large(receive)
            if len(part) > self._room:
                raise refused(503, "too many large requests at once: try again later", "no_room", retry_after=1.0)
            self._room -= len(part)
            parts.append(part)

    async def _refuse_large(self, receive: Receive) -> NoReturn:
        """Throw away what comes for a moment: most clients read no answer before they have sent everything."""
        left, more = DRAINED_BYTES, True
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while more and left > 0:
                    message = await receive()
                    left -= len(message.get("body", b""))
                    more = message.get("more_body", False)
        raise refused(413, f"the body is larger than {self._most_bytes} bytes", "body_too_large")


def replay(body: bytes, receive: Receive) -> Receive:
    """Hand a body on in one piece; afterwards whatever the server says (that the caller has gone)."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
