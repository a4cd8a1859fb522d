"""The daemon is killed: calls fail long before their time, and the node comes back at its address."""

import asyncio
import logging
import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.unit.mesh.libp2p.conftest import TCP, StartNode
from waggle.core.errors import MeshError, PeerUnreachable
from waggle.core.ids import NodeId
from waggle.mesh.addresses import parse_peer
from waggle.mesh.libp2p import restarting
from waggle.mesh.libp2p.settings import Settings
from waggle.mesh.libp2p.transport import Libp2pTransport, start_libp2p
from waggle.mesh.transport import Stream

BACK_SECONDS = 60.0
LONG_SECONDS = 600.0
"""What a call may take, so that one which ends does so for another reason."""

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


class Served:
    """Handlers that say when they are at work."""

    def __init__(self) -> None:
        self.at_work = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def answer(self, peer: NodeId, request: bytes) -> bytes:
        if request == b"wait":
            self.at_work.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return request

    async def echo(self, stream: Stream) -> None:
        while (frame := await stream.receive()) is not None:
            await stream.send(frame)


async def answered(caller: Libp2pTransport, peer: NodeId, protocol: str) -> None:
    """Until a call is answered."""
    async with asyncio.timeout(BACK_SECONDS):
        while True:
            try:
                assert await caller.call(peer, protocol, b"again", seconds=5) == b"again"
                return
            except MeshError:
                await asyncio.sleep(0.05)


async def test_a_killed_daemon_comes_back_with_its_key_address_and_handlers(start_node: StartNode) -> None:
    a, b = await asyncio.gather(start_node(), start_node())
    served = Served()
    for node in (a, b):
        await node.serve_calls("/test/call", served.answer)
        await node.serve_streams("/test/stream", served.echo)
    await a.connect(await b.addresses())
    before = await a.addresses()
    stream = await a.open(b.node_id, "/test/stream")
    calling = asyncio.create_task(a.call(b.node_id, "/test/call", b"wait", seconds=LONG_SECONDS))
    await served.at_work.wait()
    os.kill(a.daemon_pid, signal.SIGKILL)
    async with asyncio.timeout(BACK_SECONDS):
        with pytest.raises(PeerUnreachable):
            await calling
        with pytest.raises(PeerUnreachable):
            await stream.receive()
        with pytest.raises(PeerUnreachable):
            await a.call(b.node_id, "/test/call", b"at once", seconds=LONG_SECONDS)
        await served.cancelled.wait()
    await answered(b, a.node_id, "/test/call")
    await answered(a, b.node_id, "/test/call")
    assert await a.addresses() == before
    again = await a.open(b.node_id, "/test/stream")
    await again.send(b"bee")
    assert await again.receive() == b"bee"
    await again.close()


async def test_a_node_that_lost_its_daemon_dials_those_it_knew(start_node: StartNode) -> None:
    a, b = await asyncio.gather(start_node(TCP), start_node(TCP))
    await a.connect(await b.addresses())
    os.kill(a.daemon_pid, signal.SIGKILL)
    async with asyncio.timeout(BACK_SECONDS):
        while not (await linked(a, b) and await linked(b, a)):  # noqa: ASYNC110 - only the daemons know
            await asyncio.sleep(0.05)


async def linked(a: Libp2pTransport, b: Libp2pTransport) -> bool:
    try:
        return b.node_id in [link.peer for link in await a.links()]
    except PeerUnreachable:
        return False


async def test_a_peer_whose_address_only_we_know_is_dialled(start_node: StartNode) -> None:
    a, b = await asyncio.gather(start_node(TCP), start_node(TCP))
    await b.serve_calls("/test/call", Served().answer)
    await b.serve_streams("/test/stream", Served().echo)
    with pytest.raises(PeerUnreachable, match="no address"):
        await a.call(b.node_id, "/test/call", b"")
    a._remember(b.node_id, tuple(parse_peer(text).place for text in await b.addresses()))
    assert await a.call(b.node_id, "/test/call", b"bee") == b"bee"
    await (await a.open(b.node_id, "/test/stream")).close()


@pytest.mark.slow
async def test_a_daemon_that_hangs_is_replaced(start_node: StartNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restarting, "WATCH_SECONDS", 0.2)
    a, b = await asyncio.gather(start_node(TCP), start_node(TCP))
    await a.serve_calls("/test/call", Served().answer)
    await b.connect(await a.addresses())
    os.kill(a.daemon_pid, signal.SIGSTOP)
    await answered(b, a.node_id, "/test/call")


async def test_the_run_directory_may_vanish(tmp_path: Path) -> None:
    node = await start_libp2p(Settings(key_path=tmp_path / "key", run_dir=tmp_path / "r", listen=TCP))
    shutil.rmtree(tmp_path / "r")
    os.kill(node.daemon_pid, signal.SIGKILL)
    async with asyncio.timeout(BACK_SECONDS):
        while not (tmp_path / "r").exists():  # noqa: ASYNC110 - the new daemon's is the first sign
            await asyncio.sleep(0.05)
    await node.close()


async def test_closing_while_the_daemon_is_down_leaves_nothing(tmp_path: Path) -> None:
    node = await start_libp2p(Settings(key_path=tmp_path / "key", run_dir=tmp_path / "r", listen=TCP))
    os.kill(node.daemon_pid, signal.SIGKILL)
    await node.close()
    await node.close()
    assert list((tmp_path / "r").iterdir()) == []


async def test_nothing_is_printed_and_loggers_stay_as_they_are(
    start_node: StartNode, capfd: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    node = await start_node(TCP)
    with pytest.raises(MeshError):
        await node.connect([f"/ip4/127.0.0.1/tcp/1/p2p/{(await start_node(TCP)).node_id}"], seconds=2)
    assert (list(root.handlers), root.level) == before
    assert capfd.readouterr() == ("", "")
