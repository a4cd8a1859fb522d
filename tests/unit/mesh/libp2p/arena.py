"""A node, a peer that attacks it and an honest one, and what the node serves meanwhile."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.unit.mesh.libp2p.raw_peer import PATIENCE_SECONDS, RawPeer
from waggle.core.errors import PeerUnreachable, RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.mesh.libp2p.transport import Libp2pTransport
from waggle.mesh.transport import Stream

ALIVE = "/test/alive"
SECRET = "/home/me/secret/key.pem"


def memory_bytes() -> int:
    """What this process holds in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def until(fact: Callable[[], bool]) -> None:
    """Wait for something that the other side's process brings about."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not fact():  # noqa: ASYNC110 - nothing in this process tells when
            await asyncio.sleep(0.005)


class Server:
    """What a node under attack serves, and how its streams end."""

    def __init__(self) -> None:
        self.ends: asyncio.Queue[Exception | None] = asyncio.Queue()
        self.frames: list[bytes] = []
        self.open_streams = 0

    async def echo(self, peer: NodeId, request: bytes) -> bytes:
        if request == b"fail":
            raise RuntimeError(f"cannot read {SECRET}")
        if request == b"wait":
            await asyncio.Event().wait()
        return request

    async def receive_all(self, stream: Stream) -> None:
        self.open_streams += 1
        try:
            while (frame := await stream.receive()) is not None:
                self.frames.append(frame)
            self.ends.put_nowait(None)
        except (PeerUnreachable, RemoteProtocolError) as error:
            self.ends.put_nowait(error)
        finally:
            self.open_streams -= 1


class Arena(NamedTuple):
    """A node, a peer that attacks it, and an honest one."""

    node: Libp2pTransport
    attacker: RawPeer
    honest: Libp2pTransport
