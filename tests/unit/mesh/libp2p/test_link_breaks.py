"""A link that is dropped on purpose breaks no call; one that breaks by itself costs none that may be repeated."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from random import Random
from typing import NamedTuple

import pytest
import pytest_asyncio

from tests.unit.mesh.libp2p.conftest import QUIC, TCP
from waggle.core.errors import PeerRefused, PeerUnreachable
from waggle.core.ids import NodeId
from waggle.mesh.libp2p.p2pd.control import LinkBroke, PeerUnknown, failure
from waggle.mesh.libp2p.settings import Settings
from waggle.mesh.libp2p.transport import REPEATABLE, Libp2pTransport, start_libp2p
from waggle.mesh.transport import CallHandler, Stream

pytestmark = pytest.mark.timeout(300)
on_the_network = pytest.mark.asyncio(loop_scope="module")

ONCE, TWICE = "/test/once", "/test/twice"
CUTS = 12
PAUSE_SECONDS = 0.01
MANY_FRAMES = 4
PATIENCE_SECONDS = 120.0


class End:
    """A node; what it does with a call is the test's choice. It counts what it was asked."""

    def __init__(self, node: Libp2pTransport) -> None:
        self.node = node
        self.work: CallHandler = _return
        self.handled: Counter[bytes] = Counter()

    async def serve(self) -> None:
        for protocol in (ONCE, TWICE):
            await self.node.serve_calls(protocol, self._answer)
        await self.node.serve_streams(ONCE, _echo)

    async def _answer(self, peer: NodeId, request: bytes) -> bytes:
        self.handled[request[:8]] += 1
        return await self.work(peer, request)

    def break_links(self, times: int) -> None:
        """Drop the link to whoever calls, before the answer, so many times."""
        left = iter(range(times))

        async def drop(peer: NodeId, request: bytes) -> bytes:
            if next(left, None) is not None:
                await self.node.disconnect(peer)
            return request

        self.work = drop


async def _return(_: NodeId, request: bytes) -> bytes:
    return request


async def _echo(stream: Stream) -> None:
    while (frame := await stream.receive()) is not None:
        await stream.send(frame)


class Two(NamedTuple):
    """A caller and a server, linked, and where the server is."""

    caller: End
    server: End
    addresses: tuple[str, ...]

    async def call(self, protocol: str, request: bytes, *, seconds: float = 10.0) -> bytes:
        return await self.caller.node.call(self.server.node.node_id, protocol, request, seconds=seconds)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[TCP, QUIC], ids=["tcp", "quic"])
async def pair(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> AsyncIterator[Two]:
    folder = tmp_path_factory.mktemp("breaks")
    ends = []
    for name in ("caller", "server"):
        settings = Settings(key_path=folder / name / "key", run_dir=folder / "r", listen=request.param)
        ends.append(End(await start_libp2p(settings, repeatable=[TWICE])))
        await ends[-1].serve()
    yield Two(ends[0], ends[1], await ends[1].node.addresses())
    for end in ends:
        await end.node.close()


@pytest_asyncio.fixture(loop_scope="module")
async def two(pair: Two) -> Two:
    """The pair as at its start."""
    for end in (pair.caller, pair.server):
        end.work = _return
        end.handled.clear()
    await pair.caller.node.connect(pair.addresses)
    return pair


# --- on purpose ---------------------------------------------------------------------------------------------------


@on_the_network
async def test_a_link_is_dropped_again_and_again_between_busy_nodes_and_no_call_or_stream_breaks(two: Two) -> None:
    over = asyncio.Event()
    caller, server = two.caller.node, two.server.node
    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
        talks = [group.create_task(_talk(*ends, over)) for ends in ((caller, server), (server, caller))]
        cuts = 0
        while cuts < CUTS:
            async with caller.standing_still(server.node_id) as still:
                if still:
                    cuts += 1
                    await caller.disconnect(server.node_id)
                    await caller.connect(two.addresses)
            await asyncio.sleep(PAUSE_SECONDS)
        over.set()
    assert all(task.result() > CUTS for task in talks)
    assert set(two.server.handled.values()) == set(two.caller.handled.values()) == {1}


async def _talk(me: Libp2pTransport, other: Libp2pTransport, over: asyncio.Event) -> int:
    """Call, now and then open a stream; gives how often."""
    pauses, made = Random(0), 0
    while not over.is_set():
        made += 1
        text = b"%8d" % made + bytes(16_384)
        if made % 5:
            assert await me.call(other.node_id, ONCE, text) == text
        else:
            await _converse(await me.open(other.node_id, ONCE), text)
        await asyncio.sleep(2 * PAUSE_SECONDS * pauses.random())
    return made


async def _converse(stream: Stream, frame: bytes) -> None:
    for _ in range(MANY_FRAMES):
        await stream.send(frame)
        assert await stream.receive() == frame
    await stream.close()


@on_the_network
async def test_nobody_stands_still_for_a_peer_while_a_call_or_a_stream_with_it_is_open(two: Two) -> None:
    caller, server = two.caller.node, two.server.node
    at_work, go = asyncio.Event(), asyncio.Event()

    async def wait(_: NodeId, request: bytes) -> bytes:
        at_work.set()
        await go.wait()
        return request

    two.server.work = wait
    calling = asyncio.create_task(two.call(ONCE, b"bee"))
    await at_work.wait()
    assert not await _is_still(server, caller)
    assert not await _is_still(caller, server)
    go.set()
    assert await calling == b"bee"
    stream = await caller.open(server.node_id, ONCE)
    assert not await _is_still(server, caller)
    await stream.close()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await _is_still(server, caller):  # noqa: ASYNC110 - the daemons know when the stream is gone
            await asyncio.sleep(0.02)


async def _is_still(one: Libp2pTransport, other: Libp2pTransport) -> bool:
    async with one.standing_still(other.node_id) as still:
        return still


# --- not on purpose -----------------------------------------------------------------------------------------------


@on_the_network
async def test_a_call_that_may_be_repeated_is_made_once_more_where_the_link_breaks_before_its_answer(two: Two) -> None:
    two.server.break_links(1)
    assert await two.call(TWICE, b"bee") == b"bee"
    assert two.server.handled == {b"bee": 2}


@on_the_network
async def test_any_other_call_fails_and_is_made_once_only(two: Two) -> None:
    two.server.break_links(1)
    with pytest.raises(PeerUnreachable, match="the link broke before the answer came"):
        await two.call(ONCE, b"bee")
    assert await two.call(ONCE, b"wasp") == b"wasp"
    assert two.server.handled == {b"bee": 1, b"wasp": 1}


@on_the_network
async def test_a_peer_that_breaks_every_link_is_called_twice_and_no_more(two: Two) -> None:
    two.server.break_links(2)
    with pytest.raises(PeerUnreachable, match="the link broke before the answer came"):
        await two.call(TWICE, b"bee")
    assert not two.caller.node.in_use(two.server.node.node_id)
    assert await two.call(ONCE, b"wasp") == b"wasp"
    assert two.server.handled == {b"bee": 2, b"wasp": 1}


@on_the_network
async def test_both_tries_together_take_no_longer_than_the_call_may(two: Two) -> None:
    async def break_late_then_hang(peer: NodeId, request: bytes) -> bytes:
        await asyncio.sleep(3.0 if two.server.handled[request] == 1 else 300.0)
        await two.server.node.disconnect(peer)
        return request

    two.server.work = break_late_then_hang
    clock = asyncio.get_running_loop().time
    began = clock()
    with pytest.raises(PeerUnreachable, match="no answer within"):
        await two.call(TWICE, b"bee", seconds=5.5)
    assert two.server.handled == {b"bee": 2}
    assert 5.4 <= clock() - began < 8.0  # with 5.5 s for each try it would be 8.5


@on_the_network
async def test_a_refusal_is_not_asked_about_again(two: Two) -> None:
    async def fail(_: NodeId, request: bytes) -> bytes:
        raise PeerUnreachable("stream reset")

    two.server.work = fail
    with pytest.raises(PeerRefused):
        await two.call(TWICE, b"bee")
    assert two.server.handled == {b"bee": 1}


@pytest.mark.parametrize(
    ("reason", "broke"),
    [
        ("stream reset", True),
        ("Application error 0x0 (remote)", True),
        ("failed to dial: failed to dial 12D3Koo: all dials failed\n  * [/ip4/1.2.3.4/tcp/1] stream reset", False),
        ("failed to find any peer in table", False),
        ("context deadline exceeded", False),
    ],
)
def test_only_a_stream_that_was_open_counts_as_broken(reason: str, broke: bool) -> None:
    assert isinstance(failure(reason), LinkBroke) is broke


def test_a_daemon_that_was_given_relays_says_in_other_words_that_it_knows_no_address() -> None:
    assert isinstance(failure("failed to find any peer in table"), PeerUnknown)


def test_a_link_that_breaks_while_the_protocol_is_agreed_upon_is_no_refusal() -> None:
    assert isinstance(failure("failed to negotiate protocol: protocols not supported: [/x]"), PeerRefused)
    assert isinstance(failure("failed to negotiate protocol: stream reset"), PeerUnreachable)


def test_what_is_repeated_by_default_only_reads_or_brings_numbered_adverts() -> None:
    named = {protocol.removeprefix("/waggle/") for protocol in REPEATABLE}
    assert named == {"ping/1", "compare/1", "trade/1", "files/list/1", "files/manifest/1"}
