"""A relayed link under calls: dialled again none breaks, and one that the relay drops costs none that may be repeated.

On loopback: two nodes that listen nowhere, and a relay between them.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
import pytest_asyncio

from waggle.core.errors import PeerUnreachable
from waggle.core.ids import NodeId
from waggle.mesh.libp2p import direct
from waggle.mesh.libp2p.direct import DirectSeeker
from waggle.mesh.libp2p.relay import _dial, start_relay
from waggle.mesh.libp2p.settings import Settings
from waggle.mesh.libp2p.transport import Libp2pTransport, start_libp2p

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(90)]

ONCE, TWICE = "/test/once", "/test/twice"
CALL_BYTES = 32 * 1024
CALL_PAUSE_SECONDS = 0.05
HASTE = {
    "LOOK_SECONDS": 0.05,
    "PATIENCE_SECONDS": 0.2,
    "BACK_OFF": 1.0,
    "OTHER_SIDE_SECONDS": 0.3,
    "MAX_TRIES": 1_000,
}
DIALS = 30
"""At these settings one cut in five broke a call before both ends stood still for it."""


class Home(NamedTuple):
    """A node that can be reached through the relay only, and what it was asked."""

    node: Libp2pTransport
    circuit: str
    handled: Counter[bytes]
    slow: set[bytes]
    """Requests that are worked on for ever when they first come."""
    at_work: asyncio.Event


class Homes(NamedTuple):
    """Two of them, and their relay."""

    relay: Libp2pTransport
    ann: Home
    bob: Home


@pytest_asyncio.fixture
async def homes(tmp_path: Path) -> AsyncIterator[Homes]:
    async with AsyncExitStack() as stack:
        relay, report = await start_relay(Settings(key_path=tmp_path / "key", run_dir=tmp_path / "r"))
        stack.push_async_callback(relay.close)
        assert report.healthy
        way = (await relay.addresses())[0]
        ann, bob = [await _start_home(tmp_path, name, way, stack) for name in ("ann", "bob")]
        await _dial(bob.node, ann.circuit)
        yield Homes(relay, ann, bob)


async def _start_home(folder: Path, name: str, relay: str, stack: AsyncExitStack) -> Home:
    settings = Settings(
        key_path=folder / f"{name}.key", listen=(), relays=(relay,), reachability="private", run_dir=folder / name
    )
    node = await start_libp2p(settings, repeatable=[TWICE])
    stack.push_async_callback(node.close)
    home = Home(node, f"{relay}/p2p-circuit/p2p/{node.node_id}", Counter(), set(), asyncio.Event())

    async def echo(_: NodeId, request: bytes) -> bytes:
        home.handled[request[:8]] += 1
        if request in home.slow:
            home.slow.remove(request)
            home.at_work.set()
            await asyncio.sleep(60)
        return request

    for protocol in (ONCE, TWICE):
        await node.serve_calls(protocol, echo)
    return home


async def test_a_relayed_link_is_dialled_again_and_again_under_calls_both_ways_and_none_breaks(
    homes: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in HASTE.items():
        monkeypatch.setattr(direct, name, value)
    over, (_, ann, bob) = asyncio.Event(), homes
    seekers = [_seeker(*pair) for pair in ((ann, bob), (bob, ann))]
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        talks = [group.create_task(_talk(*pair, over)) for pair in ((ann, bob), (bob, ann))]
        seeking = [group.create_task(seeker.run()) for seeker in seekers]
        while sum(sum(seeker.tries.values()) for seeker in seekers) < DIALS:  # noqa: ASYNC110 - they tell nobody
            await asyncio.sleep(0.1)
        over.set()
        await asyncio.wait(talks)
        for task in seeking:
            task.cancel()
    assert all(talk.result() > DIALS for talk in talks)
    assert set(ann.handled.values()) == set(bob.handled.values()) == {1}


def _seeker(home: Home, other: Home) -> DirectSeeker:
    node = home.node
    return DirectSeeker(node, lambda _: (other.circuit,), Random(0), busy=node.in_use, still=node.standing_still)


async def _talk(home: Home, other: Home, over: asyncio.Event) -> int:
    """Call until it is over; gives how often. Raises where one call fails."""
    pauses, made = Random(home.node.node_id), 0
    while not over.is_set():
        made += 1
        request = b"%8d" % made + bytes(CALL_BYTES)
        assert await home.node.call(other.node.node_id, ONCE, request) == request
        await asyncio.sleep(2 * CALL_PAUSE_SECONDS * pauses.random())
    return made


@pytest.mark.parametrize("protocol", [TWICE, ONCE])
async def test_a_call_that_may_be_repeated_survives_a_relay_that_drops_its_caller(homes: Homes, protocol: str) -> None:
    relay, ann, bob = homes
    ann.slow.add(b"%8d" % 1)
    calling = asyncio.create_task(bob.node.call(ann.node.node_id, protocol, b"%8d" % 1))
    await ann.at_work.wait()
    await relay.disconnect(bob.node.node_id)
    if protocol == TWICE:
        assert await calling == b"%8d" % 1
        assert ann.handled == {b"%8d" % 1: 2}
    else:
        with pytest.raises(PeerUnreachable, match="the link broke before the answer came"):
            await calling
        assert ann.handled == {b"%8d" % 1: 1}
