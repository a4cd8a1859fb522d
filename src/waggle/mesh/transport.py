"""The one seam between waggle and a network: calls, streams, links. Two implementations, one conformance suite.

A transport knows bytes and peers, nothing of rounds. The peer that a handler is told of has been authenticated by the
transport. Every wait has a bound. Whatever arrives is within `waggle.mesh.limits`; a peer that goes over them is
refused, and what it sent is not handed on. `waggle.testing.check_transport` is the contract in full.

Errors of every method: `PeerUnreachable` (no link, link lost, or no answer in time), `PeerBusy` (the peer, or its
limit on us, has no room now), `PeerRefused` (the peer does not serve this, or its handler failed),
`RemoteProtocolError` (what came back breaks a limit), and nothing else. What our handlers raise never travels: the
caller learns a `Refusal` code.
"""

from collections.abc import Awaitable, Callable, Sequence
from enum import IntEnum
from typing import Protocol

from msgspec import Struct

from waggle.core.errors import PeerBusy, PeerRefused, RemoteProtocolError
from waggle.core.ids import NodeId

CALL_SECONDS = 10.0
OPEN_SECONDS = 10.0
CONNECT_SECONDS = 10.0


class Refusal(IntEnum):
    """What a caller learns when its call was not answered; the first byte of every reply, 0 meaning answered."""

    NONE = 0
    BUSY = 1
    UNKNOWN = 2
    """Nobody serves this protocol here."""
    FAILED = 3
    """The handler failed; why is in the server's own log."""
    MALFORMED = 4
    """The request broke a rule."""


def error_of(refusal: Refusal) -> PeerBusy | PeerRefused:
    """What a refusal is to the caller."""
    match refusal:
        case Refusal.BUSY:
            return PeerBusy("the peer has no room now")
        case Refusal.UNKNOWN:
            return PeerRefused("the peer does not serve this protocol")
        case Refusal.MALFORMED:
            return PeerRefused("the peer found the request malformed")
        case Refusal.FAILED | Refusal.NONE:
            return PeerRefused("the peer failed at it")


def check_answered(code: bytes) -> None:
    """Raise what the byte that an answer begins with stands for; return where it is NONE."""
    try:
        refusal = Refusal(code[0])
    except (IndexError, ValueError):
        raise RemoteProtocolError("an answer without a known code") from None
    if refusal is not Refusal.NONE:
        raise error_of(refusal)


class Link(Struct, frozen=True, kw_only=True):
    """A peer that we are connected to, and the addresses in use; `relayed` where all of them go through a relay."""

    peer: NodeId
    addresses: tuple[str, ...] = ()
    relayed: bool = False


class Stream(Protocol):
    """Frames both ways, in order, until one side is done. One task may send while another receives."""

    @property
    def peer(self) -> NodeId:
        """The authenticated other side."""
        ...

    async def send(self, frame: bytes) -> None:
        """Send one frame of at most MAX_FRAME_BYTES; waits while the other side is slow.

        Raises PeerUnreachable once the stream is closed by either side, LocalProtocolError for an oversize frame.
        """
        ...

    async def receive(self) -> bytes | None:
        """The next frame; None when the other side is done. Raises PeerUnreachable where the link broke."""
        ...

    async def close(self) -> None:
        """No more frames either way: the other side's `receive` gives None, its `send` fails. Twice is harmless."""
        ...


CallHandler = Callable[[NodeId, bytes], Awaitable[bytes]]
"""Given the authenticated caller and its request, the reply. PeerBusy and RemoteProtocolError become their codes."""

StreamHandler = Callable[[Stream], Awaitable[None]]
"""Given a stream that a peer opened; the stream is closed when the handler returns or raises."""


class Transport(Protocol):
    """Any number of calls and streams may run at once. Cancelling a call or closing a stream reaches the other side."""

    @property
    def node_id(self) -> NodeId:
        """Our own peer id."""
        ...

    async def call(self, peer: NodeId, protocol: str, request: bytes, *, seconds: float = CALL_SECONDS) -> bytes:
        """One request of at most MAX_CALL_BYTES, one reply, within `seconds`."""
        ...

    async def open(self, peer: NodeId, protocol: str, *, seconds: float = OPEN_SECONDS) -> Stream:
        """Open a stream to a peer we are connected to or know an address of."""
        ...

    async def serve_calls(self, protocol: str, handler: CallHandler) -> None:
        """Answer the calls of one protocol from now on. A second handler for it is a LocalProtocolError."""
        ...

    async def serve_streams(self, protocol: str, handler: StreamHandler) -> None:
        """Take the streams of one protocol from now on. A second handler for it is a LocalProtocolError."""
        ...

    async def connect(self, addresses: Sequence[str], *, seconds: float = CONNECT_SECONDS) -> NodeId:
        """Connect to one peer at any of its multiaddrs, all ending in its `/p2p/<id>`; gives its id.

        Raises UsageError for text that is no such address.
        """
        ...

    async def disconnect(self, peer: NodeId) -> None:
        """Drop the links to a peer; a later call dials again."""
        ...

    async def addresses(self) -> tuple[str, ...]:
        """The multiaddrs we can be reached at, each ending in `/p2p/<our id>`."""
        ...

    async def links(self) -> tuple[Link, ...]:
        """The peers we are connected to now."""
        ...

    async def close(self) -> None:
        """Stop serving, drop every link, free what is held. Twice is harmless; later calls raise PeerUnreachable."""
        ...
