"""Peers that break every rule: we stay unharmed, bounded in memory, and at the service of the honest ones."""

import asyncio
from statistics import median

import pytest

from tests.unit.mesh.libp2p.arena import SECRET, Arena, Server, memory_bytes, until
from tests.unit.mesh.libp2p.raw_peer import PATIENCE_SECONDS
from waggle.core.errors import PeerBusy, PeerRefused, PeerUnreachable, RemoteProtocolError
from waggle.mesh.libp2p.framing import END_FRAME, header
from waggle.mesh.libp2p.serving import call_name, stream_name
from waggle.mesh.libp2p.stream import FrameStream
from waggle.mesh.limits import MAX_CALL_BYTES, MAX_CALLS_PER_PEER, MAX_STREAMS_PER_PEER, MIB
from waggle.mesh.transport import Refusal

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

LONG_SECONDS = 200.0
"""Longer than the flood lasts: its calls and those before it must not run out of time."""


async def test_a_frame_of_a_tebibyte_is_refused_before_it_arrives(arena: Arena, name: str) -> None:
    server = Server()
    await arena.node.serve_streams(name, server.receive_all)
    before = memory_bytes()
    for declared in (b"\x00\x40\x00\x01", b"\xff\xff\xff\xfe"):
        stream = await arena.attacker.open(arena.node.node_id, stream_name(name))
        stream.write_head(declared + bytes(MIB))
        async with asyncio.timeout(PATIENCE_SECONDS):
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
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert isinstance(await server.ends.get(), PeerUnreachable)
    clean = await arena.attacker.open(arena.node.node_id, stream_name(name))
    clean.write_head(header(3) + b"two" + END_FRAME)
    async with asyncio.timeout(PATIENCE_SECONDS):
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
    stream = await arena.honest.open(arena.node.node_id, name, seconds=PATIENCE_SECONDS)
    await stream.send(b"honest")
    await stream.close()
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await server.ends.get() is None
    assert server.frames == [b"honest"]
    for stream, _ in opened:
        stream.abort()
    await until(lambda: server.open_streams == 0)


async def test_a_flood_of_calls_leaves_the_others_their_place(arena: Arena, name: str) -> None:
    await arena.node.serve_calls(name, Server().echo)
    before = memory_bytes()

    async def honest_median() -> float:
        """Seconds within which half of 100 calls one after the other are answered; a few may meet a pause of ours."""
        loop = asyncio.get_running_loop()
        seconds = []
        for _ in range(100):
            began = loop.time()
            assert await arena.honest.call(arena.node.node_id, name, b"honest") == b"honest"
            seconds.append(loop.time() - began)
        return median(seconds)

    def attack(request: bytes) -> asyncio.Task[bytes]:
        return asyncio.create_task(
            arena.attacker.daemon.call(arena.node.node_id, call_name(name), request, LONG_SECONDS)
        )

    held = [attack(b"wait") for _ in range(MAX_CALLS_PER_PEER)]
    await until(lambda: arena.node.calls_in_progress == MAX_CALLS_PER_PEER)
    quiet = await honest_median()
    flood = [attack(bytes(10_000)) for _ in range(2_000)]
    flooded = await honest_median()
    replies = await asyncio.gather(*flood)
    assert {reply[0] for reply in replies} == {Refusal.BUSY}
    assert flooded < 1.0 + 20 * quiet
    assert memory_bytes() - before < 200 * MIB
    for task in held:
        task.cancel()
    await until(lambda: arena.node.calls_in_progress == 0)


async def test_what_a_handler_raises_does_not_travel(arena: Arena, name: str) -> None:
    await arena.node.serve_calls(name, Server().echo)
    reply = await arena.attacker.daemon.call(arena.node.node_id, call_name(name), b"fail", PATIENCE_SECONDS)
    assert reply == bytes([Refusal.FAILED])


async def test_too_large_a_request_is_refused_unread(arena: Arena, name: str) -> None:
    await arena.node.serve_calls(name, Server().echo)
    reply = await arena.attacker.daemon.call(
        arena.node.node_id, call_name(name), bytes(MAX_CALL_BYTES + 1), PATIENCE_SECONDS
    )
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
        await arena.node.call(arena.attacker.node_id, name, b"", seconds=PATIENCE_SECONDS)
    assert SECRET not in str(caught.value)
    assert await arena.node.call(arena.attacker.node_id, name, b"", seconds=PATIENCE_SECONDS) == b"fine"


@pytest.mark.parametrize(
    ("greeting", "error"),
    [
        (header(1) + b"\x63", RemoteProtocolError),
        (header(2) + b"\x00\x00", RemoteProtocolError),
        (b"\x7f\xff\xff\xff", RemoteProtocolError),
        (header(1) + bytes([Refusal.BUSY]), PeerBusy),
        (END_FRAME, PeerUnreachable),
    ],
    ids=["unknown code", "two codes", "oversize", "busy", "ended"],
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
        await arena.node.open(arena.attacker.node_id, name, seconds=PATIENCE_SECONDS)
    await greeter


async def test_a_stream_that_never_begins_is_given_up(arena: Arena, name: str) -> None:
    await arena.attacker.daemon.take_streams(stream_name(name))
    with pytest.raises(PeerUnreachable):
        await arena.node.open(arena.attacker.node_id, name, seconds=0.5)
