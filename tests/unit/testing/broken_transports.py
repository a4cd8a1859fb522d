"""A sound transport, and some each broken in one way, for the suite to find."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from waggle.core.errors import LocalProtocolError, MeshError, PeerBusy, PeerRefused, PeerUnreachable
from waggle.core.ids import NodeId
from waggle.mesh.limits import MIB
from waggle.mesh.memory import MemoryTransport
from waggle.mesh.transport import CallHandler, Link, Stream, StreamHandler
from waggle.testing.transport_checks.subject import SECRET


class SoundStream:
    """Does what the stream inside does."""

    def __init__(self, inner: Stream) -> None:
        self.inner = inner

    @property
    def peer(self) -> NodeId:
        return self.inner.peer

    async def send(self, frame: bytes) -> None:
        await self.inner.send(frame)

    async def receive(self) -> bytes | None:
        return await self.inner.receive()

    async def close(self) -> None:
        await self.inner.close()


class Sound:
    """Does what the transport inside does."""

    stream_kind: type[SoundStream] = SoundStream

    def __init__(self, inner: MemoryTransport) -> None:
        self.inner = inner

    @property
    def node_id(self) -> NodeId:
        return self.inner.node_id

    async def call(self, peer: NodeId, protocol: str, request: bytes, *, seconds: float = 10.0) -> bytes:
        return await self.inner.call(peer, protocol, request, seconds=seconds)

    async def open(self, peer: NodeId, protocol: str, *, seconds: float = 10.0) -> Stream:
        return self.stream_kind(await self.inner.open(peer, protocol, seconds=seconds))

    async def serve_calls(self, protocol: str, handler: CallHandler) -> None:
        await self.inner.serve_calls(protocol, handler)

    async def serve_streams(self, protocol: str, handler: StreamHandler) -> None:
        await self.inner.serve_streams(protocol, partial(self._attend, handler))

    async def _attend(self, handler: StreamHandler, stream: Stream) -> None:
        await handler(self.stream_kind(stream))

    async def connect(self, addresses: Sequence[str], *, seconds: float = 10.0) -> NodeId:
        return await self.inner.connect(addresses, seconds=seconds)

    async def disconnect(self, peer: NodeId) -> None:
        await self.inner.disconnect(peer)

    async def addresses(self) -> tuple[str, ...]:
        return await self.inner.addresses()

    async def links(self) -> tuple[Link, ...]:
        return await self.inner.links()

    async def close(self) -> None:
        await self.inner.close()


# --- calls ------------------------------------------------------------------------------------------------------------


class GarblesReplies(Sound):
    async def call(self, peer: NodeId, protocol: str, request: bytes, *, seconds: float = 10.0) -> bytes:
        return (await super().call(peer, protocol, request, seconds=seconds)).upper() or b"\x00"


class MixesUpReplies(Sound):
    latest = b""

    async def call(self, peer: NodeId, protocol: str, request: bytes, *, seconds: float = 10.0) -> bytes:
        self.latest = request
        await super().call(peer, protocol, request, seconds=seconds)
        return self.latest


class BelievesWhatCallersSay(Sound):
    async def serve_calls(self, protocol: str, handler: CallHandler) -> None:
        async def answer(_: NodeId, request: bytes) -> bytes:
            return await handler(NodeId(request.decode()), request)

        await super().serve_calls(protocol, answer)


class CallsOnlyWhomItDialled(Sound):
    def __init__(self, inner: MemoryTransport) -> None:
        super().__init__(inner)
        self.dialled: set[NodeId] = set()

    async def connect(self, addresses: Sequence[str], *, seconds: float = 10.0) -> NodeId:
        peer = await super().connect(addresses, seconds=seconds)
        self.dialled.add(peer)
        return peer

    async def call(self, peer: NodeId, protocol: str, request: bytes, *, seconds: float = 10.0) -> bytes:
        if peer not in self.dialled:
            raise PeerUnreachable("not dialled")
        return await super().call(peer, protocol, request, seconds=seconds)


class TakesRefusalsForEmptyReplies(Sound):
    async def call(self, peer: NodeId, protocol: str, request: bytes, *, seconds: float = 10.0) -> bytes:
        with suppress(PeerRefused):
            return await super().call(peer, protocol, request, seconds=seconds)
        return b""


class TellsWhatWentWrong(Sound):
    async def call(self, peer: NodeId, protocol: str, request: bytes, *, seconds: float = 10.0) -> bytes:
        try:
            return await super().call(peer, protocol, request, seconds=seconds)
        except MeshError as error:
            raise type(error)(str(error)) from ValueError(SECRET)


class RaisesErrorsOfItsOwn(Sound):
    async def call(self, peer: NodeId, protocol: str, request: bytes, *, seconds: float = 10.0) -> bytes:
        try:
            return await super().call(peer, protocol, request, seconds=seconds)
        except MeshError as error:
            raise ConnectionError(str(error)) from None


class CutsLargeRequestsShort(Sound):
    async def call(self, peer: NodeId, protocol: str, request: bytes, *, seconds: float = 10.0) -> bytes:
        return await super().call(peer, protocol, request[:1_000_000], seconds=seconds)


class IsPatient(Sound):
    async def call(self, peer: NodeId, protocol: str, request: bytes, *, seconds: float = 10.0) -> bytes:
        return await super().call(peer, protocol, request, seconds=8 * seconds)


class LetsLostCallsRunOn(Sound):
    async def serve_calls(self, protocol: str, handler: CallHandler) -> None:
        async def answer(caller: NodeId, request: bytes) -> bytes:
            return await asyncio.shield(asyncio.ensure_future(handler(caller, request)))

        await super().serve_calls(protocol, answer)


class TakesSecondHandlers(Sound):
    async def serve_calls(self, protocol: str, handler: CallHandler) -> None:
        with suppress(LocalProtocolError):
            await super().serve_calls(protocol, handler)


# --- limits -----------------------------------------------------------------------------------------------------------


class AsksUntilThereIsRoom(Sound):
    """To its caller, it has no limits."""

    async def call(self, peer: NodeId, protocol: str, request: bytes, *, seconds: float = 10.0) -> bytes:
        while True:
            with suppress(PeerBusy):
                return await super().call(peer, protocol, request, seconds=seconds)
            await asyncio.sleep(0.1)

    async def open(self, peer: NodeId, protocol: str, *, seconds: float = 10.0) -> Stream:
        while True:
            with suppress(PeerBusy):
                return await super().open(peer, protocol, seconds=seconds)
            await asyncio.sleep(0.1)


class CountsAllPeersTogether(Sound):
    calls = 0

    async def serve_calls(self, protocol: str, handler: CallHandler) -> None:
        async def answer(caller: NodeId, request: bytes) -> bytes:
            if self.calls == 16:
                raise PeerBusy("full")
            self.calls += 1
            try:
                return await handler(caller, request)
            finally:
                self._leave()

        await super().serve_calls(protocol, answer)

    def _leave(self) -> None:
        self.calls -= 1


class KeepsPlacesForAWhile(CountsAllPeersTogether):
    """A place is free again some time after the reply is out."""

    def _leave(self) -> None:
        asyncio.get_running_loop().call_later(0.5, super()._leave)


class BuffersWithoutEnd(SoundStream):
    def __init__(self, inner: Stream) -> None:
        super().__init__(inner)
        self.sent: list[bytes] = []

    async def send(self, frame: bytes) -> None:
        self.sent.append(frame)


class NeverHoldsBack(Sound):
    stream_kind = BuffersWithoutEnd


class DeliversEarly(SoundStream):
    """Hands frames over that were never read inside."""

    async def receive(self) -> bytes | None:
        return bytes(MIB)


class ReadsAtAnyRate(Sound):
    stream_kind = DeliversEarly
