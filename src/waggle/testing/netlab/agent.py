"""The process on a host of a lab: runs one libp2p node and does with it what it is told on standard input.

Started as `python -m waggle.testing.netlab.agent FOLDER`. Orders are carried out side by side; the process ends when
standard input does. A node answers calls and streams of `PROTOCOL` with what it is sent.
"""

import asyncio
import itertools
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from random import Random

import msgspec

from waggle.core.errors import PeerUnreachable, ProtocolError, WaggleError
from waggle.core.ids import NodeId
from waggle.mesh.libp2p.direct import DirectSeeker
from waggle.mesh.libp2p.relay import start_relay
from waggle.mesh.libp2p.relay_choice import await_places
from waggle.mesh.libp2p.relay_watch import RelayWatch
from waggle.mesh.libp2p.settings import Settings
from waggle.mesh.libp2p.transport import Libp2pTransport, start_libp2p
from waggle.mesh.transport import Stream
from waggle.testing.netlab import orders
from waggle.testing.netlab.orders import Answer, Order, Started, Task

PROTOCOL = "/waggle/netlab/1"
LISTEN = ("/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1")
LOOK_SECONDS = 0.1
FRAME_PAUSE_SECONDS = 0.05
MAX_LINE_BYTES = 1024 * 1024


class Agent:
    """One node at a time, and what is done with it."""

    def __init__(self, folder: Path) -> None:
        """No node yet; keys and sockets go into `folder`."""
        self._folder = folder
        self._starts = itertools.count(1)
        self._transport: Libp2pTransport | None = None
        self._seeker: DirectSeeker | None = None
        self._seeking: asyncio.Task[None] | None = None

    @property
    def node(self) -> Libp2pTransport:
        """The node. Raises PeerUnreachable where none runs."""
        if self._transport is None:
            raise PeerUnreachable("no node runs on this machine")
        return self._transport

    async def obey(self, order: Order) -> object:
        """Carry out one order; gives what it promises."""
        match order:
            case orders.Start():
                return await self._start(order)
            case orders.Stop():
                await self.stop()
            case orders.Addresses():
                return await self.node.addresses()
            case orders.Links():
                return await self.node.links()
            case orders.Connect(addresses):
                return await self.node.connect(addresses)
            case orders.Disconnect(peer):
                await self.node.disconnect(peer)
            case orders.Call(peer, size, seconds):
                return await self._call(peer, size, seconds)
            case orders.Converse(peer, seconds):
                return await self._converse(peer, seconds)
            case orders.AwaitCircuit(count, seconds):
                return await await_places(self.node, count=count, seconds=seconds)
            case orders.AwaitDirect(peer, seconds):
                return await self._await_direct(peer, seconds)
            case orders.Seek(peers):
                self._seek(peers)
            case orders.SeekCounts():
                return self._seeker.tries if self._seeker is not None else {}
        return None

    async def _start(self, order: orders.Start) -> Started:
        await self.stop()
        began, number, report = asyncio.get_running_loop().time(), next(self._starts), None
        settings = Settings(
            key_path=self._folder / f"key{number}", run_dir=self._folder / "run", listen=LISTEN,
            relays=order.relays, reachability=order.reachability,
        )  # fmt: skip
        if order.serve_as_relay:
            self._transport, report = await start_relay(settings)
        else:
            self._transport = await start_libp2p(settings)
        await self.node.serve_calls(PROTOCOL, _echo)
        await self.node.serve_streams(PROTOCOL, _echo_frames)
        await asyncio.gather(*(self.node.connect([contact]) for contact in order.contacts))
        started = Started(
            self.node.node_id, await self.node.addresses(), seconds=asyncio.get_running_loop().time() - began
        )
        if report is not None:
            started.relay_starts, started.relays = report.starts, report.healthy
        return started

    async def stop(self) -> None:
        """Stop the node, if one runs."""
        if self._seeking is not None:
            self._seeking.cancel()
        transport, self._transport, self._seeking, self._seeker = self._transport, None, None, None
        if transport is not None:
            await transport.close()

    def _seek(self, peers: dict[NodeId, tuple[str, ...]]) -> None:
        node = self.node
        self._seeker = DirectSeeker(
            node, lambda peer: peers.get(peer, ()), Random(node.node_id), busy=node.in_use, still=node.standing_still
        )
        self._seeking = asyncio.create_task(_run_both(self._seeker, RelayWatch(self.node)))

    async def _call(self, peer: NodeId, size: int, seconds: float) -> float:
        began = asyncio.get_running_loop().time()
        request = bytes(size)
        if await self.node.call(peer, PROTOCOL, request, seconds=seconds) != request:
            raise PeerUnreachable("something else came back")
        return asyncio.get_running_loop().time() - began

    async def _converse(self, peer: NodeId, seconds: float) -> int:
        returned, stream = 0, await self.node.open(peer, PROTOCOL)
        with suppress(TimeoutError, PeerUnreachable):
            async with asyncio.timeout(seconds):
                await stream.send(b"frame")
                while await stream.receive() is not None:
                    returned += 1
                    await asyncio.sleep(FRAME_PAUSE_SECONDS)
                    await stream.send(b"frame")
        await stream.close()
        return returned

    async def _await_direct(self, peer: NodeId, seconds: float) -> bool:
        deadline = asyncio.get_running_loop().time() + seconds
        while not any(link.peer == peer and not link.relayed for link in await self.node.links()):
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(LOOK_SECONDS)
        return True


async def _run_both(seeker: DirectSeeker, watch: RelayWatch) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(seeker.run())
        group.create_task(watch.run())


async def _echo(_: NodeId, request: bytes) -> bytes:
    return request


async def _echo_frames(stream: Stream) -> None:
    while (frame := await stream.receive()) is not None:
        await stream.send(frame)


async def _carry_out(agent: Agent, task: Task) -> None:
    """Obey, and say what came of it."""
    try:
        answer = Answer(task.number, msgspec.Raw(msgspec.json.encode(await agent.obey(task.order))))
    except (WaggleError, ProtocolError, OSError) as error:
        answer = Answer(task.number, error=f"{type(error).__name__}: {error}")
    except BaseException as error:
        traceback.print_exc()
        _say(Answer(task.number, error=f"{type(error).__name__}: {error}"))
        raise
    _say(answer)


def _say(answer: Answer) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


async def serve(folder: Path) -> None:
    """Read orders until there are no more."""
    agent = Agent(folder)
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with asyncio.TaskGroup() as group:
        try:
            while line := await reader.readline():
                group.create_task(_carry_out(agent, msgspec.json.decode(line, type=Task)))
        finally:
            await agent.stop()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
