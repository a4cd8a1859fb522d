"""Peers that break every rule: we stay unharmed, bounded in memory, and at the service of the honest ones."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from tests.unit.mesh.libp2p.conftest import StartNode, StartRawPeer
from tests.unit.mesh.libp2p.raw_peer import RawPeer
from waggle.core.errors import PeerBusy, PeerRefused, PeerUnreachable, RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.mesh.libp2p.daemon import peer_bytes
from waggle.mesh.libp2p.framing import END_FRAME, header
from waggle.mesh.libp2p.p2pd import wire
from waggle.mesh.libp2p.p2pd.delimited import delimit
from waggle.mesh.libp2p.serving import call_name, stream_name
from waggle.mesh.libp2p.stream import FrameStream
from waggle.mesh.libp2p.transport import Libp2pTransport
from waggle.mesh.limits import MAX_CALL_BYTES, MAX_CALLS_PER_PEER, MAX_STREAMS_PER_PEER, MIB
from waggle.mesh.transport import Refusal, Stream

ALIVE = "/test/alive"
SECRET = "/home/me/secret/key.pem"

pytestmark = pytest.mark.asyncio(loop_scope="module")


def memory_bytes() -> int:
    """What this process holds in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def until(fact: Callable[[], bool]) -> None:
    """Wait for something that the other side's process brings about, at most 5 s."""
    async with asyncio.timeout(5):
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
            await asyncio.sleep(60)
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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arena(start_node: StartNode, start_raw_peer: StartRawPeer) -> Arena:
    node, attacker, honest = await asyncio.gather(start_node(), start_raw_peer(), start_node())
    addresses = await node.addresses()
    await attacker.connect(addresses[0])
    await honest.connect(addresses)

    async def yes(peer: NodeId, request: bytes) -> bytes:
        return b"yes"

    await node.serve_calls(ALIVE, yes)
    return Arena(node, attacker, honest)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A protocol of this test's own."""
    return f"/test/{request.node.name.replace(' ', '-')}"


async def test_a_frame_of_a_tebibyte_is_refused_before_it_arrives(arena: Arena, name: str) -> None:
    server = Server()
    await arena.node.serve_streams(name, server.receive_all)
    before = memory_bytes()
    for declared in (b"\x00\x40\x00\x01", b"\xff\xff\xff\xfe"):
        stream = await arena.attacker.open(arena.node.node_id, stream_name(name))
        stream.write_head(declared + bytes(MIB))
        async with asyncio.timeout(5):
            end = await server.ends.get()
        assert isinstance(end, RemoteProtocolError)
        await stream.wait_lost()
    assert memory_bytes() - before < 16 * MIB


async def test_a_link_that_breaks_in_a_frame_is_told_from_a_clean_end(arena: Arena, name: str) -> None:
    server = Server()
    await arena.node.serve_streams(name, server.receive_all)
    broken = await arena.attacker.open(arena.node.node_id, stream_name(name))
    broken.write_head(header(3) + b"one" + header(100) + b"half")
    await until(lambda: server.frames == [b"one"])
    broken.abort()
    async with asyncio.timeout(5):
        assert isinstance(await server.ends.get(), PeerUnreachable)
    clean = await arena.attacker.open(arena.node.node_id, stream_name(name))
    clean.write_head(header(3) + b"two" + END_FRAME)
    async with asyncio.timeout(5):
        assert await server.ends.get() is None
    assert server.frames == [b"one", b"two"]


async def test_a_peer_gets_so_many_streams_and_an_honest_one_is_served(arena: Arena, name: str) -> None:
    server = Server()
    await arena.node.serve_streams(name, server.receive_all)

    async def open_and_read_code() -> tuple[FrameStream, int]:
        stream = await arena.attacker.open(arena.node.node_id, stream_name(name))
        code = await stream.receive()
        return stream, code[0] if code else -1

    opened: list[tuple[FrameStream, int]] = []
    for _ in range(8):
        opened += await asyncio.gather(*(open_and_read_code() for _ in range(25)))
    codes = [code for _, code in opened]
    assert codes.count(Refusal.NONE) == MAX_STREAMS_PER_PEER
    assert codes.count(Refusal.BUSY) == 200 - MAX_STREAMS_PER_PEER
    assert server.open_streams == MAX_STREAMS_PER_PEER
    stream = await arena.honest.open(arena.node.node_id, name, seconds=2)
    await stream.send(b"honest")
    await stream.close()
    async with asyncio.timeout(2):
        assert await server.ends.get() is None
    assert server.frames == [b"honest"]
    for stream, _ in opened:
        stream.abort()
    await until(lambda: server.open_streams == 0)


async def test_a_flood_of_calls_leaves_the_others_their_place(arena: Arena, name: str) -> None:
    await arena.node.serve_calls(name, Server().echo)
    before = memory_bytes()

    async def honest_p99() -> float:
        """Seconds within which 99 of 100 calls one after the other are answered."""
        loop = asyncio.get_running_loop()
        seconds = []
        for _ in range(100):
            began = loop.time()
            assert await arena.honest.call(arena.node.node_id, name, b"honest") == b"honest"
            seconds.append(loop.time() - began)
        return sorted(seconds)[98]

    def attack(request: bytes) -> asyncio.Task[bytes]:
        return asyncio.create_task(arena.attacker.daemon.call(arena.node.node_id, call_name(name), request, 15))

    held = [attack(b"wait") for _ in range(MAX_CALLS_PER_PEER)]
    await until(lambda: arena.node.calls_in_progress == MAX_CALLS_PER_PEER)
    quiet_p99 = await honest_p99()
    flood = [attack(bytes(10_000)) for _ in range(2_000)]
    p99 = await honest_p99()
    replies = await asyncio.gather(*flood)
    assert {reply[0] for reply in replies} == {Refusal.BUSY}
    assert p99 < 0.5 + 20 * quiet_p99  # half a second on a machine with nothing else to do
    assert memory_bytes() - before < 200 * MIB
    for task in held:
        task.cancel()
    await until(lambda: arena.node.calls_in_progress == 0)


async def test_what_a_handler_raises_does_not_travel(arena: Arena, name: str) -> None:
    await arena.node.serve_calls(name, Server().echo)
    reply = await arena.attacker.daemon.call(arena.node.node_id, call_name(name), b"fail", 5)
    assert reply == bytes([Refusal.FAILED])


async def test_too_large_a_request_is_refused_unread(arena: Arena, name: str) -> None:
    await arena.node.serve_calls(name, Server().echo)
    reply = await arena.attacker.daemon.call(arena.node.node_id, call_name(name), bytes(MAX_CALL_BYTES + 1), 10)
    assert reply == bytes([Refusal.MALFORMED])


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"", RemoteProtocolError),
        (b"\x63junk", RemoteProtocolError),
        (b"\xff", RemoteProtocolError),
        (bytes([Refusal.BUSY]) + SECRET.encode(), PeerBusy),
        (bytes([Refusal.FAILED]) + SECRET.encode(), PeerRefused),
        (bytes(MAX_CALL_BYTES + 2), RemoteProtocolError),
    ],
    ids=["empty", "unknown code", "high code", "busy", "failed", "over 3 MiB"],
)
async def test_a_reply_that_breaks_a_rule_is_an_error_and_the_next_call_works(
    arena: Arena, name: str, reply: bytes, error: type[Exception]
) -> None:
    replies = iter([reply])
    arena.attacker.answer = lambda request: next(replies, b"\x00fine")
    await arena.attacker.daemon.take_calls(call_name(name))
    with pytest.raises(error) as caught:
        await arena.node.call(arena.attacker.node_id, name, b"", seconds=3)
    assert SECRET not in str(caught.value)
    assert await arena.node.call(arena.attacker.node_id, name, b"", seconds=3) == b"fine"


@pytest.mark.parametrize(
    ("greeting", "error"),
    [
        (header(1) + b"\x63", RemoteProtocolError),
        (header(2) + b"\x00\x00", RemoteProtocolError),
        (b"\x7f\xff\xff\xff", RemoteProtocolError),
        (header(1) + bytes([Refusal.BUSY]), PeerBusy),
        (END_FRAME, PeerUnreachable),
        (b"", PeerUnreachable),
    ],
    ids=["unknown code", "two codes", "oversize", "busy", "ended", "silent"],
)
async def test_a_stream_that_begins_wrongly_is_an_error(
    arena: Arena, name: str, greeting: bytes, error: type[Exception]
) -> None:
    await arena.attacker.daemon.take_streams(stream_name(name))
    arena.attacker.streams.clear()

    async def greet() -> None:
        await until(lambda: arena.attacker.streams != [])
        await arena.attacker.streams[0].head
        arena.attacker.streams[0].write_head(greeting)

    greeter = asyncio.create_task(greet())
    with pytest.raises(error):
        await arena.node.open(arena.attacker.node_id, name, seconds=0.5)
    await greeter


@pytest.mark.parametrize(
    "answer",
    [
        delimit(wire.give_reply(bytes(16), bytes(5 * MIB))),
        b"\xff\xff\xff\xff\x0f" + bytes(MIB),
        delimit(b"\xff" * 100),
        delimit(wire.give_reply(bytes(16), b"\x00half"))[:-2],
        delimit(wire.cancel_call(bytes(16))),
        delimit(wire.give_reply(bytes(16), b"\x00with an id of its own")),
        b"",
    ],
    ids=["over 4 MiB", "4 GiB declared", "garbage", "truncated", "no reply at all", "another call's id", "silence"],
)
async def test_a_daemon_that_answers_calls_with_anything_harms_nobody(arena: Arena, name: str, answer: bytes) -> None:
    """The other side of a call need not be hivemind's daemon: here it writes raw bytes on the call's stream."""
    await arena.attacker.daemon.take_streams(call_name(name))
    arena.attacker.streams.clear()
    before = memory_bytes()
    call = asyncio.create_task(arena.node.call(arena.attacker.node_id, name, b"request", seconds=1.0))
    await until(lambda: arena.attacker.streams != [])
    stream = arena.attacker.streams[0]
    await stream.head
    stream.write_head(answer)
    if answer:
        stream.begin(arena.node.node_id)
        await stream.close()
    try:
        assert await call == b"with an id of its own"
    except (PeerUnreachable, RemoteProtocolError):
        assert b"with an id" not in answer
    assert memory_bytes() - before < 64 * MIB
    assert await arena.honest.call(arena.node.node_id, ALIVE, b"") == b"yes"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\xff\xff\xff\xff\x0f" + bytes(MIB),
        delimit(b"\xff" * 100),
        delimit(wire.make_call(bytes(16), b"", "", b"x"))[:-1],
        delimit(wire.cancel_call(bytes(16))),
        b"",
    ],
    ids=["4 GiB declared", "garbage", "truncated", "no call at all", "nothing"],
)
async def test_a_daemon_that_calls_with_anything_harms_nobody(arena: Arena, name: str, request_bytes: bytes) -> None:
    await arena.node.serve_calls(name, Server().echo)
    stream = await arena.attacker.open(arena.node.node_id, call_name(name))
    stream.write_head(request_bytes)
    assert await arena.honest.call(arena.node.node_id, ALIVE, b"") == b"yes"
    stream.abort()


async def test_nobody_can_call_in_anothers_name(arena: Arena, name: str) -> None:
    callers: list[NodeId] = []

    async def note_caller(peer: NodeId, request: bytes) -> bytes:
        callers.append(peer)
        return b""

    await arena.node.serve_calls(name, note_caller)
    stream = await arena.attacker.open(arena.node.node_id, call_name(name))
    stream.write_head(delimit(wire.make_call(bytes(16), peer_bytes(arena.honest.node_id), call_name(name), b"x")))
    await until(lambda: callers != [])
    assert callers == [arena.attacker.node_id]
    stream.abort()


async def test_a_call_id_used_twice_reaches_one_handler_and_leaves_others_alone(arena: Arena, name: str) -> None:
    calls: list[bytes] = []

    async def slow(peer: NodeId, request: bytes) -> bytes:
        calls.append(request)
        await asyncio.sleep(0.3)
        return request

    await arena.node.serve_calls(name, slow)
    message = delimit(wire.make_call(bytes(16), b"", call_name(name), b"x"))
    streams = [await arena.attacker.open(arena.node.node_id, call_name(name)) for _ in range(2)]
    for stream in streams:
        stream.write_head(message)
    assert await arena.honest.call(arena.node.node_id, name, b"honest") == b"honest"
    assert sorted(calls) == [b"honest", b"x"]
    for stream in streams:
        stream.abort()
    await until(lambda: arena.node.calls_in_progress == 0)
