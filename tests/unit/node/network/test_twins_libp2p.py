"""A node and a copy of it, started without an invite: they find out through others, and the copy ends."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from waggle.core.errors import UsageError
from waggle.mesh.invite import parse_invite
from waggle.node.config.settings import LOOPBACK, Settings
from waggle.node.control.client import ask_node
from waggle.node.control.messages import Peers, PeersReply, Status, StatusReply
from waggle.node.network.twins import THEY_END, WE_END
from waggle.node.running.running import Ready, run_node

pytestmark = pytest.mark.timeout(600)

FOUND_SECONDS = 90.0


@dataclass
class Running:
    """A node that runs in this process, as `waggle join` runs one."""

    task: "asyncio.Task[None]"
    stop: asyncio.Event
    ready: "asyncio.Future[Ready]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def invite(self) -> str:
        return self.ready.result().invite

    async def status(self) -> StatusReply:
        return await ask_node(Path(self.ready.result().info.control), Status(), StatusReply)

    async def peers(self) -> PeersReply:
        return await ask_node(Path(self.ready.result().info.control), Peers(), PeersReply)


class Nodes:
    """Nodes in folders of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[Running] = []

    async def start(self, name: str, invites: Sequence[str] = ()) -> Running:
        """Run the node of this folder, and wait until it is up."""
        ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        settings = Settings(home=self.folder / name, name="n", listen=LOOPBACK, multicast=False)
        stop = asyncio.Event()
        parsed = [parse_invite(text) for text in invites]
        running = run_node(settings, parsed, {}, None, stop=stop, ready=ready.set_result)
        node = Running(asyncio.create_task(running), stop, ready)
        self._running.append(node)
        node.task.add_done_callback(lambda _: ready.cancel())  # ended before it was up
        await asyncio.wait([ready], timeout=FOUND_SECONDS)
        return node

    def copy_key(self, name: str, copy: str) -> None:
        """Copy a node's folder, as somebody does who restores a backup on another machine."""
        (self.folder / copy / "nodes" / "n").mkdir(parents=True, mode=0o700)
        shutil.copy(self.folder / name / "nodes" / "n" / "node.key", self.folder / copy / "nodes" / "n")

    async def end(self) -> None:
        """Stop all."""
        for node in self._running:
            node.stop.set()
        await asyncio.gather(*(node.task for node in self._running), return_exceptions=True)


@asynccontextmanager
async def nodes() -> AsyncIterator[Nodes]:
    with TemporaryDirectory(prefix="wt", dir="/tmp", ignore_cleanup_errors=True) as folder:
        made = Nodes(Path(folder))
        try:
            yield made
        finally:
            await made.end()


async def test_a_copy_that_was_started_alone_ends_as_soon_as_somebody_knows_both() -> None:
    async with nodes() as made:
        first = await made.start("first")
        acacia = await made.start("acacia", [first.invite])
        made.copy_key("first", "copy")
        copy = await made.start("copy")
        assert not copy.task.done()
        sage = await made.start("sage", [copy.invite])
        await made.start("bridge", [acacia.invite, sage.invite])
        with pytest.raises(UsageError) as told:
            await asyncio.wait_for(copy.task, FOUND_SECONDS)
        assert str(told.value) == WE_END
        assert not first.task.done()
        async with asyncio.timeout(FOUND_SECONDS):  # and the others reach the one that stays, which is told
            while not await _is_usable(acacia, first) or THEY_END not in (await first.status()).troubles:  # noqa: ASYNC110 - nodes do not tell
                await asyncio.sleep(0.2)


async def _is_usable(by: Running, node: Running) -> bool:
    """Whether one node lists the other as it is: at its own addresses, with no reason not to use it."""
    info = node.ready.result().info
    return any(
        peer.node == info.node and not peer.reason and set(peer.advert.addresses) == set(info.addresses)
        for peer in (await by.peers()).peers
    )
