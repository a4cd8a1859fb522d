"""Serves the node's models one by one: whoever opens a stream has one of them write, or embed texts.

One stream is one request. What the model writes goes out as it comes: a frame carries all that was written since the
last one. Closing the stream stops the engine, a full node says so at once, and of a fault in the engine a stranger
hears no more than that there was one. Invariant: `generated` follows only once every token has been sent.
"""

import asyncio
import logging
import math
from collections.abc import Iterator
from contextlib import aclosing, suppress

from msgspec.structs import replace

from waggle.core.asking import check_turns
from waggle.core.carried import working_for
from waggle.core.engine_values import GenerateRequest, Generation, StreamedToken
from waggle.core.errors import (
    EngineRefused,
    LocalProtocolError,
    PeerUnreachable,
    RemoteProtocolError,
)
from waggle.core.failures import Cause, Failure, failure_of
from waggle.mesh.channel import SignedChannel
from waggle.mesh.messages import (
    MODEL_PROTOCOL,
    CannotGenerate,
    Embedded,
    Generated,
    PleaseEmbed,
    PleaseGenerate,
    Wrote,
)
from waggle.mesh.transport import Stream, Transport
from waggle.node.observing.logs import facts, logged_request
from waggle.node.peers.heartbeat import keep_saying_still_here
from waggle.node.rounds.work import NodeWork
from waggle.node.solo.bounds import MAX_PIECE, MAX_WRITTEN, most_prompt_tokens
from waggle.trust.keys import NodeKey

log = logging.getLogger(__name__)

FIRST_MESSAGE_SECONDS = 10.0
MAX_SECONDS = 3_600.0
MAX_UNSENT = 1_024  # tokens that wait for a slow reader before the engine has to
MAX_TOKENS_PER_FRAME = 256
MAX_FRAME_CHARACTERS = 64 * 1024
MAX_LOGPROBS = 16_384  # more are left out of `Generated`: a message has a bound on its values
MAX_NUMBERS = 32_768  # of the vectors of one frame, for the same reason

Piece = tuple[str, float | None]


class Solo:
    """Lets whoever asks use one of the node's models."""

    def __init__(self, key: NodeKey, work: NodeWork) -> None:
        self._key = key
        self._work = work

    async def serve(self, transport: Transport) -> None:
        """Serve from now on."""
        await transport.serve_streams(MODEL_PROTOCOL, self._answer)

    async def _answer(self, stream: Stream) -> None:
        channel = SignedChannel(stream, self._key, None)
        with suppress(PeerUnreachable, RemoteProtocolError, TimeoutError):
            async with asyncio.timeout(FIRST_MESSAGE_SECONDS):
                asked = await channel.expect(PleaseGenerate, PleaseEmbed)
            if asked.request != channel.round_id:
                raise RemoteProtocolError(f"{channel.peer}: the request is not the one that its envelope names")
            with logged_request(asked.request), working_for(channel.peer, asked.request):  # which the tasks take over
                log.info("one model alone", extra=facts(asker=channel.peer, kind=type(asked).__name__))
                await self._until_gone(channel, asked)

    async def _until_gone(self, channel: SignedChannel, asked: PleaseGenerate | PleaseEmbed) -> None:
        """Do what is asked, unless the client goes away first."""
        working = asyncio.create_task(self._do(channel, asked))
        leaving = asyncio.create_task(_hear_no_more(channel))
        beating = asyncio.create_task(keep_saying_still_here(channel))
        try:
            await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (working, leaving, beating):
                task.cancel()
            await asyncio.gather(working, leaving, beating, return_exceptions=True)

    async def _do(self, channel: SignedChannel, asked: PleaseGenerate | PleaseEmbed) -> None:
        try:
            match asked:
                case PleaseGenerate():
                    await self._generate(channel, asked)
                case PleaseEmbed():
                    await self._embed(channel, asked)
        except LocalProtocolError:  # what the model wrote breaks a rule of the wire
            await channel.send(CannotGenerate(failure=Failure(Cause.UNAVAILABLE, "what the model gave cannot be sent")))

    async def _generate(self, channel: SignedChannel, asked: PleaseGenerate) -> None:
        written = asyncio.Queue[StreamedToken | CannotGenerate](MAX_UNSENT)
        writing = asyncio.create_task(self._write(channel, asked, written))
        try:
            await _send_all(channel, written, asked.asked)
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def _write(
        self, channel: SignedChannel, asked: PleaseGenerate, written: "asyncio.Queue[StreamedToken | CannotGenerate]"
    ) -> None:
        """Have the model write; the last thing in the queue is a generation, or why there is none."""
        try:
            check_turns(asked.asked.turns)
            size = 0
            async with (
                asyncio.timeout(min(asked.seconds, MAX_SECONDS)),
                aclosing(self._work.generate(channel.peer, asked.model, asked.asked)) as tokens,
            ):
                async for token in tokens:
                    size += len(token.text)
                    if size > MAX_WRITTEN:
                        raise EngineRefused(f"the model wrote more than {MAX_WRITTEN} characters")
                    await written.put(token)
        except Exception as error:  # noqa: BLE001  # an engine's crash must reach the client as a failure
            log.info("could not write", extra=facts(asker=channel.peer, kind=type(error).__name__))
            await written.put(CannotGenerate(failure=failure_of(error)))

    async def _embed(self, channel: SignedChannel, asked: PleaseEmbed) -> None:
        try:
            async with asyncio.timeout(min(asked.seconds, MAX_SECONDS)):
                vectors = await self._work.embed(channel.peer, asked.model, asked.texts)
        except Exception as error:  # noqa: BLE001  # as above
            log.info("could not embed", extra=facts(asker=channel.peer, kind=type(error).__name__))
            await channel.send(CannotGenerate(failure=failure_of(error)))
            return
        step = max(1, MAX_NUMBERS // max(1, max(map(len, vectors), default=1)))
        for start in range(0, len(vectors), step):
            await channel.send(Embedded(vectors=tuple(tuple(vector) for vector in vectors[start : start + step])))


async def _send_all(
    channel: SignedChannel, written: "asyncio.Queue[StreamedToken | CannotGenerate]", asked: GenerateRequest
) -> None:
    """Send what there is as soon as the one before is sent; the last word ends it."""
    while True:
        said = [await written.get()]
        while not written.empty():
            said.append(written.get_nowait())
        for frame in _frames([piece for token in said for piece in _pieces(token)]):
            await channel.send(Wrote(tokens=frame))
        last = said[-1]
        if isinstance(last, CannotGenerate):
            await channel.send(last)
            return
        if last.generation is not None:
            await channel.send(Generated(generation=_sendable(last.generation, asked)))
            return


def _pieces(token: StreamedToken | CannotGenerate) -> Iterator[Piece]:
    """A token as entries of a frame; all but the first have no log-probability."""
    if isinstance(token, CannotGenerate) or (token.generation is not None and not token.text):
        return
    yield token.text[:MAX_PIECE], _logprob(token.logprob)
    for start in range(MAX_PIECE, len(token.text), MAX_PIECE):
        yield token.text[start : start + MAX_PIECE], None


def _frames(pieces: list[Piece]) -> Iterator[tuple[Piece, ...]]:
    frame: list[Piece] = []
    size = 0
    for piece in pieces:
        if frame and (len(frame) == MAX_TOKENS_PER_FRAME or size + len(piece[0]) > MAX_FRAME_CHARACTERS):
            yield tuple(frame)
            frame, size = [], 0
        frame.append(piece)
        size += len(piece[0])
    if frame:
        yield tuple(frame)


def _logprob(logprob: float | None) -> float | None:
    """In the range that travels; None for what is no number."""
    return None if logprob is None or math.isnan(logprob) else min(max(logprob, -1e9), 0.0)


def _sendable(made: Generation, asked: GenerateRequest) -> Generation:
    """As peers take it. They believe no more tokens than one model can use, also where a whole swarm stands behind."""
    made = replace(
        made,
        prompt_tokens=min(made.prompt_tokens, most_prompt_tokens(asked)),
        completion_tokens=min(made.completion_tokens, asked.max_tokens),
    )
    if len(made.logprobs) > MAX_LOGPROBS:
        return replace(made, logprobs=())
    known = [_logprob(logprob) for logprob in made.logprobs]
    return replace(made, logprobs=() if None in known else tuple(value for value in known if value is not None))


async def _hear_no_more(channel: SignedChannel) -> None:
    """A client has nothing more to say than its request: anything but silence ends the conversation."""
    with suppress(PeerUnreachable, RemoteProtocolError):
        await channel.receive()
