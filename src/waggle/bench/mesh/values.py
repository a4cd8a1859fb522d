"""What the processes of the mesh bench say to each other, and what every transport in it has to offer.

A server prints `Serving` and lives until its standard input ends. A client reads one `Order` a line and answers each
with one `Figure` a line.
"""

from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol, runtime_checkable

from msgspec import Struct

MESSAGE_BYTES = 64
FRAME_BYTES = 1024 * 1024
PULL_FRAMES = 16
"""Frames of one transfer: enough that opening its stream does not count, few enough for a short measurement."""
IN_FLIGHT = 16
"""Calls at a time: as many as we let one peer have (`MAX_CALLS_PER_PEER`)."""

Measure = Literal["unary", "stream", "calls", "bytes"]
MEASURES: tuple[Measure, ...] = ("unary", "stream", "calls", "bytes")


class Serving(Struct, frozen=True):
    """Where a server is reached, in its own transport's words."""

    address: str


class Order(Struct, frozen=True):
    """Measure this for about so many seconds."""

    measure: Measure
    seconds: float


class Figure(Struct, frozen=True):
    """`value` is the median in ms (unary, stream), calls per second or MB per second; `p99_ms` where there is one."""

    value: float
    p99_ms: float | None = None


class Client(Protocol):
    """One peer that talks to one server. A reply that is not what was sent is a failed measurement."""

    async def call(self, request: bytes) -> bytes:
        """One request and its reply, the same bytes."""
        ...

    async def ping(self, frame: bytes) -> bytes:
        """One frame there and back on a stream that stays open between pings."""
        ...

    async def pull(self, frames: int) -> int:
        """Open a stream and read so many frames of FRAME_BYTES that the server sends; gives the bytes read."""
        ...


@runtime_checkable
class BlockingClient(Protocol):
    """A client that is fastest when threads wait for it."""

    def call_and_wait(self, request: bytes) -> bytes:
        """As `Client.call`, for a thread."""
        ...


class Subject(Protocol):
    """A module that knows one transport."""

    def serving(self) -> AbstractAsyncContextManager[str]:
        """Serve echo calls, echo streams and transfers; gives the address for `connected`."""
        ...

    def connected(self, address: str) -> AbstractAsyncContextManager[Client]:
        """A client of the server at that address, its link already up."""
        ...
