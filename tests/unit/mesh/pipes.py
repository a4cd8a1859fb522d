"""Two joined ends of a stream inside the process, without a transport."""

import asyncio

from waggle.core.errors import PeerUnreachable
from waggle.core.ids import NodeId
from waggle.mesh.transport import Stream


class PipeEnd:
    """One side of a stream. What is put into `arrived` by hand is a peer's doing."""

    def __init__(self, peer: NodeId) -> None:
        self.peer = peer
        self.arrived: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.other: PipeEnd | None = None
        self.closed = False

    async def send(self, frame: bytes) -> None:
        assert self.other is not None
        await asyncio.sleep(0)
        if self.closed or self.other.closed:
            raise PeerUnreachable("closed")
        self.other.arrived.put_nowait(frame)

    async def receive(self) -> bytes | None:
        return None if self.closed else await self.arrived.get()

    async def close(self) -> None:
        if not self.closed and self.other is not None:
            self.other.arrived.put_nowait(None)
        self.closed = True
        self.arrived.put_nowait(None)


class Stuck(PipeEnd):
    """A stream whose other side reads nothing."""

    async def send(self, frame: bytes) -> None:
        await asyncio.Event().wait()


def pipe(ann: NodeId, bob: NodeId) -> tuple[PipeEnd, PipeEnd]:
    """Ann's end, whose peer is Bob, and Bob's."""
    here, there = PipeEnd(bob), PipeEnd(ann)
    here.other, there.other = there, here
    as_streams: tuple[Stream, Stream] = here, there
    assert len(as_streams) == 2
    return here, there
