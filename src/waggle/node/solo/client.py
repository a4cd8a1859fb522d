"""Uses one model of another node: asks on a stream of its own, and believes nothing that can be checked.

What a peer writes is bounded in tokens, characters and silence while it comes. At the end the text must be what was
streamed, answer and trace parts of it, the counts within what was asked for, and every called tool one that was
offered. Whatever does not fit is RemoteProtocolError. That the words are the named model's, nobody can see from here.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress

from msgspec.structs import replace

from waggle.core.carried import waste
from waggle.core.engine_values import Finish, GenerateRequest, Generation, StreamedToken
from waggle.core.errors import (
    LocalProtocolError,
    PeerUnreachable,
    RemoteProtocolError,
    UsageError,
    WaggleError,
)
from waggle.core.failures import error_of
from waggle.core.ids import NodeId
from waggle.engines.answer import StopCutter
from waggle.mesh.channel import SignedChannel
from waggle.mesh.messages import (
    MODEL_PROTOCOL,
    CannotGenerate,
    Embedded,
    Generated,
    Message,
    PleaseEmbed,
    PleaseGenerate,
    Wrote,
)
from waggle.mesh.transport import Stream
from waggle.node.peers.heartbeat import Hearing
from waggle.node.solo.bounds import MAX_PIECE, MAX_WRITTEN, most_prompt_tokens
from waggle.trust.keys import NodeKey

OpenStream = Callable[[NodeId, str], Awaitable[Stream]]
"""Opens a stream of a protocol to a peer, in a bounded time. Raises MeshError."""

MAX_TEXTS = 64
MAX_TEXT = 64 * 1024
MAX_BATCH_CHARACTERS = 512 * 1024
MAX_REASON = 200
CLOSE_SECONDS = 1.0
UNIT_TOLERANCE = 1e-3  # of the length of a vector


class SoloClient:
    """Uses the models of peers as the owner of one key."""

    def __init__(self, key: NodeKey, open_stream: OpenStream) -> None:
        self._key = key
        self._open_stream = open_stream

    async def generate(self, peer: NodeId, asked: PleaseGenerate) -> AsyncGenerator[StreamedToken, None]:
        """What the peer's model writes, token by token; the last one carries the generation. Closing it stops the peer.

        The caller bounds the whole; silence is bounded here.

        Raises:
            PeerBusy, EngineUnavailable, EngineRefused (no other node could either, it says): the peer's own refusal.
            MeshError: it cannot be reached, or fell silent. RemoteProtocolError: it broke a rule.
            UsageError: the request is beyond what can be sent.
        """
        check = _Check(peer, asked.asked)
        last: StreamedToken | None = None
        try:
            async with self._conversation(peer, asked) as hearing:
                while last is None:
                    match await _hear(peer, hearing):
                        case Wrote(tokens=tokens):
                            for text, logprob in tokens:
                                yield check.take(text, logprob)
                        case Generated(generation=generation):
                            last = check.end(generation)
                        case _:
                            raise RemoteProtocolError(f"{peer}: a message of a kind that is not due now")
                yield last
        finally:
            if last is None:
                waste(0, check.heard)

    async def embed(
        self, peer: NodeId, model: str, texts: Sequence[str], seconds: float, request: str
    ) -> list[list[float]]:
        """One unit-length vector per text; errors as for `generate`."""
        now = asyncio.get_running_loop().time
        ends = now() + seconds
        vectors: list[list[float]] = []
        for batch in _batches(texts):
            asked = PleaseEmbed(request=request, model=model, texts=tuple(batch), seconds=max(0.0, ends - now()))
            vectors += await self._embed(peer, asked)
        if len({len(vector) for vector in vectors}) > 1:
            raise RemoteProtocolError(f"{peer}: vectors of different sizes")
        return vectors

    async def _embed(self, peer: NodeId, asked: PleaseEmbed) -> list[list[float]]:
        vectors: list[list[float]] = []
        async with self._conversation(peer, asked) as hearing:
            while len(vectors) < len(asked.texts):
                message = await _hear(peer, hearing)
                if not isinstance(message, Embedded) or not message.vectors:
                    raise RemoteProtocolError(f"{peer}: a message of a kind that is not due now")
                vectors += [list(vector) for vector in message.vectors]
        if len(vectors) > len(asked.texts) or any(abs(math.hypot(*v) - 1) > UNIT_TOLERANCE for v in vectors):
            raise RemoteProtocolError(f"{peer}: not one vector of length 1 for each text")
        return vectors

    @asynccontextmanager
    async def _conversation(self, peer: NodeId, asked: PleaseGenerate | PleaseEmbed) -> AsyncGenerator[Hearing]:
        """A stream on which the request has been sent; it is closed whatever happens."""
        stream = await self._open_stream(peer, MODEL_PROTOCOL)
        channel = SignedChannel(stream, self._key, asked.request)
        try:
            try:
                await channel.send(asked)
            except LocalProtocolError as error:
                raise UsageError(f"this cannot be asked of another node: {error}") from None
            yield Hearing(channel)
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await channel.close()


async def _hear(peer: NodeId, hearing: Hearing) -> Message:
    """The next thing that is said. Raises what a refusal says, and PeerUnreachable where nothing more comes."""
    match await hearing.next():
        case None:
            raise PeerUnreachable(f"{peer} left before it was done")
        case CannotGenerate() as message:
            raise _refusal(message)
        case message:
            return message


def _refusal(message: CannotGenerate) -> WaggleError:
    """Its reason is a stranger's text: short, and nothing but plain characters."""
    failure = message.failure
    reason = "a node says: " + "".join(letter for letter in failure.reason if letter.isprintable())[:MAX_REASON]
    return error_of(replace(failure, reason=reason))


class _Check:
    """One generation of a stranger, while it comes."""

    def __init__(self, peer: NodeId, asked: GenerateRequest) -> None:
        self._peer = peer
        self._asked = asked
        self._cutter = StopCutter(asked.stop)
        self._pieces: list[str] = []
        self._size = 0
        self._most = asked.max_tokens + MAX_WRITTEN // MAX_PIECE + 1  # a long token takes several entries

    @property
    def heard(self) -> int:
        """Entries, about as many as tokens."""
        return len(self._pieces)

    def take(self, text: str, logprob: float | None) -> StreamedToken:
        """One entry of a frame. Raises RemoteProtocolError beyond what was asked for."""
        self._pieces.append(text)
        self._size += len(text)
        self._cutter.feed(text)
        if len(self._pieces) > self._most or self._size > MAX_WRITTEN:
            raise RemoteProtocolError(f"{self._peer}: it writes more than it was asked for")
        if self._cutter.stopped:
            raise RemoteProtocolError(f"{self._peer}: it writes on behind a stop string")
        return StreamedToken(text=text, logprob=None if logprob is None else min(logprob, 0.0))

    def end(self, made: Generation) -> StreamedToken:
        """The last token. Raises RemoteProtocolError where the generation is not what was streamed."""
        if fault := self._fault(made):
            raise RemoteProtocolError(f"{self._peer}: {fault}")
        return StreamedToken(text="", generation=made)

    def _fault(self, made: Generation) -> str | None:
        if made.text != "".join(self._pieces):
            return "the generation is not what was streamed"
        if not made.text.startswith(made.trace) or made.answer not in made.text:
            return "answer or trace is no part of the text"
        if made.completion_tokens > self._asked.max_tokens or made.prompt_tokens > most_prompt_tokens(self._asked):
            return "more tokens than were asked for"
        if len(made.logprobs) not in (0, made.completion_tokens) or any(value > 0 for value in made.logprobs):
            return "the log-probabilities do not fit the text"
        return self._fault_of_calls(made)

    def _fault_of_calls(self, made: Generation) -> str | None:
        choice = self._asked.tool_choice
        offered = {tool.name for tool in self._asked.tools if choice in ("auto", "required", tool.name)}
        if any(call.name not in offered or not call.id for call in made.tool_calls):
            return "a call of a tool that was not offered"
        if len({call.id for call in made.tool_calls}) < len(made.tool_calls):
            return "two calls of one name"
        if bool(made.tool_calls) != (made.finish is Finish.TOOL_CALLS):
            return "the end does not fit the calls of tools"
        must_call = choice not in ("auto", "none") and made.finish is Finish.STOP
        return "no tool is called where one had to be" if must_call else None


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """In parts that fit a message. Raises UsageError for a text that does not."""
    batch: list[str] = []
    size = 0
    for text in texts:
        if len(text) > MAX_TEXT:
            raise UsageError(f"a text to embed has more than {MAX_TEXT} characters")
        if batch and (len(batch) == MAX_TEXTS or size + len(text) > MAX_BATCH_CHARACTERS):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch
