"""Peers with model folders on the simulated network, for the tests of files."""

import json
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from waggle.core.errors import PeerBusy, PeerRefused, PeerUnreachable
from waggle.core.ids import NodeId
from waggle.mesh.files.serve import FileServer
from waggle.mesh.files.store import FileStore
from waggle.mesh.files.wire import CHUNK_PROTOCOL
from waggle.mesh.limits import MAX_RELAYED_BYTES
from waggle.mesh.memory.network import MemoryNetwork
from waggle.mesh.memory.transport import MemoryTransport
from waggle.mesh.memory.wires import Conditions
from waggle.mesh.transport import CallHandler, Link, Refusal, Stream, StreamHandler

MIB = 1 << 20
Answer = Callable[[bytes, bytes], Awaitable[bytes]]
"""Given a request and the honest reply to it (empty where that is a refusal), the reply."""


def safetensors_bytes(size: int, seed: int = 0) -> bytes:
    """A valid file of one byte tensor with `size` elements."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + random.Random(seed).randbytes(size)


def make_model(folder: Path, size: int = 3 * MIB + 100, seed: int = 0) -> Path:
    """A model folder: weights of about `size` bytes, a configuration, and a tokenizer in a sub-folder."""
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(safetensors_bytes(size, seed))
    (folder / "config.json").write_text('{"model_type": "test"}')
    (folder / "tokenizer" / "tokenizer.json").write_text("{}" * 700)
    (folder / "LICENSE").write_text("do as you like")
    (folder / "empty.txt").write_text("")
    return folder


def same_files(a: Path, b: Path) -> bool:
    """Whether two folders hold the same files with the same bytes."""
    return _read(a) == _read(b)


def _read(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Watched:
    """A transport whose calls are counted, and that can lie: `answers` replaces the replies of a protocol.

    `relayed` peers are told of as such, and replies through a relay that are too large break off.
    """

    def __init__(self, inner: MemoryTransport) -> None:
        self._inner = inner
        self.asked: list[tuple[str, bytes]] = []
        self.answers: dict[str, Answer] = {}
        self.relayed: set[NodeId] = set()
        self.most_bytes = MAX_RELAYED_BYTES * 1_000

    @property
    def node_id(self) -> NodeId:
        return self._inner.node_id

    def asked_for(self, protocol: str = CHUNK_PROTOCOL) -> list[bytes]:
        """The requests of a protocol so far."""
        return [request for asked, request in self.asked if asked == protocol]

    async def serve_calls(self, protocol: str, handler: CallHandler) -> None:
        async def answer(peer: NodeId, request: bytes) -> bytes:
            self.asked.append((protocol, request))
            try:
                reply = await handler(peer, request)
            except PeerRefused:
                if protocol not in self.answers:
                    raise
                reply = b""
            if protocol in self.answers:
                reply = await self.answers[protocol](request, reply)
            self.most_bytes = max(self.most_bytes, len(reply))
            return reply

        await self._inner.serve_calls(protocol, answer)

    async def serve_streams(self, protocol: str, handler: StreamHandler) -> None:
        async def attend(stream: Stream) -> None:
            await handler(WatchedStream(stream, self, protocol))

        await self._inner.serve_streams(protocol, attend)

    async def call(self, peer: NodeId, protocol: str, request: bytes, *, seconds: float = 10.0) -> bytes:
        reply = await self._inner.call(peer, protocol, request, seconds=seconds)
        if peer in self.relayed and len(reply) > MAX_RELAYED_BYTES:
            raise PeerUnreachable("the relay cut it off")
        return reply

    async def links(self) -> tuple[Link, ...]:
        links = await self._inner.links()
        return tuple(Link(peer=link.peer, relayed=link.peer in self.relayed) for link in links)

    async def open(self, peer: NodeId, protocol: str, *, seconds: float = 10.0) -> Stream:
        stream = await self._inner.open(peer, protocol, seconds=seconds)
        return RelayedStream(stream) if peer in self.relayed else stream

    async def connect(self, addresses: Sequence[str], *, seconds: float = 10.0) -> NodeId:
        return await self._inner.connect(addresses, seconds=seconds)

    async def disconnect(self, peer: NodeId) -> None:
        await self._inner.disconnect(peer)

    async def addresses(self) -> tuple[str, ...]:
        return await self._inner.addresses()

    async def close(self) -> None:
        await self._inner.close()


class RelayedStream:
    """A stream through a relay that cuts large frames off."""

    def __init__(self, inner: Stream) -> None:
        self._inner = inner

    @property
    def peer(self) -> NodeId:
        return self._inner.peer

    async def send(self, frame: bytes) -> None:
        await self._inner.send(frame)

    async def receive(self) -> bytes | None:
        frame = await self._inner.receive()
        if frame is not None and len(frame) > MAX_RELAYED_BYTES:
            raise PeerUnreachable("the relay cut it off")
        return frame

    async def close(self) -> None:
        await self._inner.close()


class WatchedStream(RelayedStream):
    """A stream that a `Watched` serves: requests are counted, replies replaced; the first byte is a code."""

    def __init__(self, inner: Stream, owner: Watched, protocol: str) -> None:
        super().__init__(inner)
        self._owner, self._protocol = owner, protocol
        self._request = b""

    async def receive(self) -> bytes | None:
        request = await self._inner.receive()
        if request is not None:
            self._request = request
            self._owner.asked.append((self._protocol, request))
        return request

    async def send(self, frame: bytes) -> None:
        if (answer := self._owner.answers.get(self._protocol)) is not None:
            try:
                frame = bytes([Refusal.NONE]) + await answer(self._request, frame[1:])
            except PeerBusy:
                frame = bytes([Refusal.BUSY])
        self._owner.most_bytes = max(self._owner.most_bytes, len(frame))
        await self._inner.send(frame)


class Swarm:
    """`me` fetches into `store`; the others serve the model that lies in `model`."""

    def __init__(
        self, root: Path, size: int = 3 * MIB + 100, conditions: Conditions | None = None, seed: int = 0
    ) -> None:
        self.root = root
        self.model = root / "thyme" if (root / "thyme").exists() else make_model(root / "thyme", size)
        self.network = MemoryNetwork(seed, conditions or Conditions(delay=0.005, bandwidth=20e6))
        self.me = Watched(self.network.join(NodeId("me")))
        self.store = FileStore(root / "mine")
        self.servers: dict[NodeId, FileServer] = {}
        self.peers: dict[NodeId, Watched] = {}
        self.manifest = ""

    @classmethod
    async def of(
        cls, root: Path, *names: str, size: int = 3 * MIB + 100, conditions: Conditions | None = None
    ) -> "Swarm":
        """One with these honest peers."""
        swarm = cls(root, size, conditions)
        for name in names:
            await swarm.add(name)
        return swarm

    async def add(self, name: str, folder: Path | None = None, shared_as: str | None = None) -> Watched:
        """An honest peer that shares `folder`, or the model; I am connected to it."""
        peer = await self.stranger(name)
        store = FileStore(self.root / f"store-{name}")
        shared = store.share(folder or self.model, shared_as)
        if folder is None:
            self.manifest = shared.manifest
        self.servers[peer.node_id] = FileServer(peer, store)
        await self.servers[peer.node_id].start()
        return peer

    async def stranger(self, name: str) -> Watched:
        """A peer that serves nothing yet; I am connected to it."""
        peer = self.peers[NodeId(name)] = Watched(self.network.join(NodeId(name)))
        await self.me.connect(await peer.addresses())
        return peer

    @property
    def ids(self) -> list[NodeId]:
        """The honest peers."""
        return list(self.servers)

    def landed(self) -> bool:
        """Whether exactly the model, and nothing half, lies where fetched models go."""
        return same_files(self.model, self.store.models / "thyme") and not list(self.store.partials.iterdir())
