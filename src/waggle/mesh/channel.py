"""A stream of one round on which both sides sign and number what they say.

Each side numbers its own envelopes from 0; the other takes exactly the next one. The first envelope that breaks a rule
closes the stream, so that the other side learns of it, and nothing after it is read. A side that takes nothing for
`SEND_SECONDS`, or lets `MAX_UNSENT` messages wait, has lost the stream. What it says is waited for as long as the
stream lasts: callers bound that with `asyncio.timeout`; while messages wait, others get their turn between them.
"""

import asyncio
from collections.abc import Callable
from typing import NoReturn, TypeVar, overload

from waggle.core.errors import LocalProtocolError, PeerUnreachable, RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.mesh.codec import open_envelope, seal, unseal
from waggle.mesh.messages import Message
from waggle.mesh.transport import Stream
from waggle.trust.keys import NodeKey

SEND_SECONDS = 15.0
"""How long one message may take to go out, beside what its size allows for."""
SLOWEST_BYTES_PER_SECOND = 70_000
"""The slowest link on which the largest message still arrives: within a minute, as a stream's other end asks."""
MAX_UNSENT = 1_024
"""Messages that wait to be sent: more than a judge has ballots of a committee of 64 at a time."""
IN_A_ROW = 8
"""Messages that are taken at once; checking one takes about 0.14 ms."""

A = TypeVar("A", bound=Message)
B = TypeVar("B", bound=Message)
C = TypeVar("C", bound=Message)


class SignedChannel:
    """Messages both ways over one stream, under one round's id; several tasks may send, one receives."""

    def __init__(
        self,
        stream: Stream,
        key: NodeKey,
        round_id: str | None,
        on_envelope: Callable[[bytes], None] | None = None,
    ) -> None:
        """Speak over `stream` as the owner of `key`.

        Args:
            round_id: the round of every envelope; None where the other side opened the stream and its first envelope
                says it.
            on_envelope: told every envelope that was accepted or is about to be sent, in order: the transcript.
        """
        self._stream = stream
        self._key = key
        self._round_id = round_id
        self._record = on_envelope or (lambda envelope: None)
        self._sending = asyncio.Lock()
        self._unsent = 0
        self._sent = 0
        self._received = 0
        self._cut = False
        self._refused = False

    @property
    def peer(self) -> NodeId:
        """The authenticated other side."""
        return self._stream.peer

    @property
    def round_id(self) -> str:
        """The round that is spoken of. Raises LocalProtocolError before it is known."""
        if self._round_id is None:
            raise LocalProtocolError(f"nothing has come from {self.peer} yet, so its round is not known")
        return self._round_id

    async def send(self, message: Message) -> None:
        """Sign and send. A send that is cancelled or fails ends the channel: the other side would miss a number.

        Raises:
            PeerUnreachable: the stream is closed or broken, or the other side takes nothing: then it is closed.
            LocalProtocolError: the message breaks a rule; nothing is sent and the channel stays as it was.
        """
        if self._unsent >= MAX_UNSENT:
            await self._drop()
        self._unsent += 1
        try:
            async with self._sending:
                await self._send(message)
        finally:
            self._unsent -= 1

    async def _send(self, message: Message) -> None:
        if self._cut:
            raise PeerUnreachable(f"an earlier message to {self.peer} was not sent in full")
        frame = seal(self._key, message, round_id=self.round_id, seq=self._sent)
        self._sent += 1
        self._cut = True
        self._record(frame)
        try:
            async with asyncio.timeout(SEND_SECONDS + len(frame) / SLOWEST_BYTES_PER_SECOND):
                await self._stream.send(frame)
        except TimeoutError:
            await self._drop()
        self._cut = False

    async def _drop(self) -> NoReturn:
        await self._stream.close()
        raise PeerUnreachable(f"{self.peer} takes nothing of what it is sent")

    async def receive(self) -> Message | None:
        """The next message; None when the other side is done.

        Raises:
            RemoteProtocolError: it broke a rule; the stream is closed.
            PeerUnreachable: the link broke.
        """
        if self._refused:
            raise PeerUnreachable(f"the stream with {self.peer} was closed because it broke a rule")
        if self._received % IN_A_ROW == IN_A_ROW - 1:
            await asyncio.sleep(0)
        try:
            frame = await self._stream.receive()
            return None if frame is None else self._accept(frame)
        except RemoteProtocolError:
            await self._refuse()
            raise

    @overload
    async def expect(self, first: type[A], /) -> A: ...
    @overload
    async def expect(self, first: type[A], second: type[B], /) -> A | B: ...
    @overload
    async def expect(self, first: type[A], second: type[B], third: type[C], /) -> A | B | C: ...

    async def expect(self, *types: type[object]) -> object:
        """The next message, which must be of one of these types.

        Raises:
            RemoteProtocolError: it is another one, or broke a rule; the stream is closed.
            PeerUnreachable: the other side ended the stream, or the link broke.
        """
        message = await self.receive()
        if message is None:
            raise PeerUnreachable(f"{self.peer} ended the stream before it answered")
        if not isinstance(message, types):
            await self._refuse()
            raise RemoteProtocolError(f"{self.peer}: a message of a kind that is not due now")
        return message

    async def close(self) -> None:
        """No more messages either way. Twice is harmless."""
        await self._stream.close()

    async def _refuse(self) -> None:
        """Nothing that comes after a broken rule is read."""
        self._refused = True
        await self._stream.close()

    def _accept(self, frame: bytes) -> Message:
        """Check a frame, then count it and put it on record; on a fault nothing changes."""
        round_id = self._round_id
        if round_id is None:
            round_id = open_envelope(frame, sender=self.peer).round
        message = unseal(frame, sender=self.peer, round_id=round_id, seq=self._received)
        self._round_id = round_id
        self._received += 1
        self._record(frame)
        return message
