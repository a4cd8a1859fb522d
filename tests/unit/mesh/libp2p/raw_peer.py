"""A peer on the real network that speaks through the daemon without any rule of ours: for hostile tests."""

from collections.abc import Callable
from pathlib import Path

from waggle.core.ids import NodeId
from waggle.mesh.addresses import parse_peer
from waggle.mesh.libp2p.daemon import Daemon
from waggle.mesh.libp2p.p2pd import wire
from waggle.mesh.libp2p.settings import Settings, with_ports
from waggle.mesh.libp2p.stream import FrameStream
from waggle.trust.keys import NodeKey

PATIENCE_SECONDS = 60.0
"""What a busy machine may take for what takes a moment; waiting for what comes costs nothing."""


class RawPeer:
    """A daemon, and what the test makes of it. `answer` gives the bytes of a reply; None leaves a call unanswered."""

    def __init__(self, node_id: NodeId) -> None:
        self.node_id = node_id
        self.answer: Callable[[bytes], bytes | None] = lambda request: request
        self.streams: list[FrameStream] = []
        self._daemon: Daemon | None = None

    @classmethod
    async def start(cls, folder: Path, run_dir: Path) -> "RawPeer":
        settings = Settings(key_path=folder / "key", run_dir=run_dir)
        peer = cls(NodeKey.load_or_create(settings.key_path).node_id)
        peer._daemon = await Daemon.start(
            settings, with_ports(settings.listen), on_event=peer._on_event, on_stream=peer.streams.append
        )
        return peer

    @property
    def daemon(self) -> Daemon:
        assert self._daemon is not None
        return self._daemon

    def _on_event(self, daemon: Daemon, event: wire.Asked | wire.Cancelled) -> None:
        reply = self.answer(event.data) if isinstance(event, wire.Asked) else None
        if reply is not None:
            daemon.calls.reply(event.call, reply)

    async def addresses(self) -> list[str]:
        _, texts = await self.daemon.identify()
        return [f"{text}/p2p/{self.node_id}" for text in texts]

    async def connect(self, address: str) -> None:
        way = parse_peer(address)
        await self.daemon.connect(way.peer, [way.place], PATIENCE_SECONDS)

    async def open(self, peer: NodeId, name: str) -> FrameStream:
        """A stream on which `write_head` sends whatever bytes the test likes."""
        return await self.daemon.open(peer, name, PATIENCE_SECONDS)

    async def close(self) -> None:
        await self.daemon.stop()
