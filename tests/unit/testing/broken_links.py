"""More transports that are broken in one way: in their streams, their links, and at their end."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from tests.unit.testing.broken_transports import Sound, SoundStream
from waggle.core.errors import PeerRefused, PeerUnreachable, UsageError
from waggle.core.ids import NodeId
from waggle.mesh.memory import MemoryTransport
from waggle.mesh.transport import Link, Stream, StreamHandler


class DropsEmptyFrames(Sound):
    class stream_kind(SoundStream):  # noqa: N801
        async def send(self, frame: bytes) -> None:
            if frame:
                await super().send(frame)


class SwapsFrames(Sound):
    class stream_kind(SoundStream):  # noqa: N801
        kept: bytes | None = None

        async def send(self, frame: bytes) -> None:
            if len(frame) != 2 * 7:  # one in a while is held back until the next one has gone
                await super().send(frame)
                if self.kept is not None:
                    await super().send(self.kept)
                self.kept = None
            else:
                self.kept = frame


class TakesOversizeFrames(Sound):
    class stream_kind(SoundStream):  # noqa: N801
        async def send(self, frame: bytes) -> None:
            await super().send(frame[: 4 * 1024 * 1024])


class TalksOneAtATime(Sound):
    class stream_kind(SoundStream):  # noqa: N801
        def __init__(self, inner: Stream) -> None:
            super().__init__(inner)
            self.turn = asyncio.Lock()

        async def send(self, frame: bytes) -> None:
            async with self.turn:
                await super().send(frame)

        async def receive(self) -> bytes | None:
            async with self.turn:
                return await super().receive()


class ForgetsToClose(Sound):
    class stream_kind(SoundStream):  # noqa: N801
        async def close(self) -> None:
            return


class SendsIntoTheVoid(Sound):
    class stream_kind(SoundStream):  # noqa: N801
        async def send(self, frame: bytes) -> None:
            with suppress(PeerUnreachable):
                await super().send(frame)


class TakesABreakForTheEnd(Sound):
    class stream_kind(SoundStream):  # noqa: N801
        async def receive(self) -> bytes | None:
            with suppress(PeerUnreachable):
                return await super().receive()
            return None


class LosesFramesWhenCancelled(Sound):
    class stream_kind(SoundStream):  # noqa: N801
        async def receive(self) -> bytes | None:
            return await asyncio.shield(asyncio.ensure_future(super().receive()))


class TakesRefusalsForSilence(Sound):
    async def open(self, peer: NodeId, protocol: str, *, seconds: float = 10.0) -> Stream:
        try:
            return await super().open(peer, protocol, seconds=seconds)
        except PeerRefused:
            raise PeerUnreachable("silence") from None


class KeepsStreamsOfFailedHandlers(Sound):
    async def _attend(self, handler: StreamHandler, stream: Stream) -> None:
        try:
            await handler(stream)
        except ValueError:
            await asyncio.sleep(1000)


# --- links and the end ------------------------------------------------------------------------------------------------


class ConnectsToAnything(Sound):
    async def connect(self, addresses: Sequence[str], *, seconds: float = 10.0) -> NodeId:
        try:
            return await super().connect(addresses, seconds=seconds)
        except UsageError:
            raise PeerUnreachable("what is this?") from None


class ListsNoLinks(Sound):
    async def links(self) -> tuple[Link, ...]:
        return ()


class WaitsForStrangers(Sound):
    async def call(self, peer: NodeId, protocol: str, request: bytes, *, seconds: float = 10.0) -> bytes:
        began = asyncio.get_running_loop().time()
        try:
            return await super().call(peer, protocol, request, seconds=seconds)
        except PeerUnreachable:
            await asyncio.sleep(seconds - (asyncio.get_running_loop().time() - began))
            raise


class NeverDialsAgain(Sound):
    dropped = False

    async def disconnect(self, peer: NodeId) -> None:
        self.dropped = True
        await super().disconnect(peer)

    async def call(self, peer: NodeId, protocol: str, request: bytes, *, seconds: float = 10.0) -> bytes:
        if self.dropped:
            raise PeerUnreachable("no link")
        return await super().call(peer, protocol, request, seconds=seconds)


class NeverDrops(Sound):
    async def disconnect(self, peer: NodeId) -> None:
        return


class LeavesATaskBehind(Sound):
    def __init__(self, inner: MemoryTransport) -> None:
        super().__init__(inner)
        self.task = asyncio.create_task(asyncio.sleep(1000))


class ClosesOnceOnly(Sound):
    closed = False

    async def close(self) -> None:
        if self.closed:
            raise PeerUnreachable("closed")
        self.closed = True
        await super().close()


class ComesBackToLife(Sound):
    async def links(self) -> tuple[Link, ...]:
        with suppress(PeerUnreachable):
            return await super().links()
        return ()
