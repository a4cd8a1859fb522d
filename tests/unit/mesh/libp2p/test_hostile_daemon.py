"""Peers whose daemon is not the one we know: they write raw bytes where calls are expected."""

import asyncio

import pytest

from tests.unit.mesh.libp2p.arena import ALIVE, Arena, Server, memory_bytes, until
from tests.unit.mesh.libp2p.raw_peer import PATIENCE_SECONDS
from waggle.core.errors import PeerUnreachable, RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.mesh.libp2p.daemon import peer_bytes
from waggle.mesh.libp2p.p2pd import wire
from waggle.mesh.libp2p.p2pd.delimited import delimit
from waggle.mesh.libp2p.serving import call_name
from waggle.mesh.limits import MIB

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    "answer",
    [
        delimit(wire.give_reply(bytes(16), bytes(5 * MIB))),
        b"\xff\xff\xff\xff\x0f" + bytes(MIB),
        delimit(b"\xff" * 100),
        delimit(wire.give_reply(bytes(16), b"\x00half" + bytes(100)))[:-100],
        delimit(wire.cancel_call(bytes(16))),
        delimit(wire.give_reply(bytes(16), b"\x00with an id of its own")),
    ],
    ids=["over 4 MiB", "4 GiB declared", "garbage", "truncated", "no reply at all", "another call's id"],
)
async def test_a_daemon_that_answers_calls_with_anything_harms_nobody(arena: Arena, name: str, answer: bytes) -> None:
    """The other side of a call need not be hivemind's daemon: here it writes raw bytes on the call's stream."""
    await arena.attacker.daemon.take_streams(call_name(name))
    arena.attacker.streams.clear()
    before = memory_bytes()
    call = asyncio.create_task(arena.node.call(arena.attacker.node_id, name, b"request", seconds=PATIENCE_SECONDS))
    await until(lambda: arena.attacker.streams != [])
    stream = arena.attacker.streams[0]
    await stream.head
    stream.write_head(answer)
    stream.begin(arena.node.node_id)
    await stream.close()
    try:
        assert await call == b"with an id of its own"
    except (PeerUnreachable, RemoteProtocolError):
        assert b"with an id" not in answer
    assert memory_bytes() - before < 64 * MIB
    assert await arena.honest.call(arena.node.node_id, ALIVE, b"") == b"yes"


async def test_a_daemon_that_never_answers_is_given_up_and_harms_nobody(arena: Arena, name: str) -> None:
    await arena.attacker.daemon.take_streams(call_name(name))
    with pytest.raises(PeerUnreachable):
        await arena.node.call(arena.attacker.node_id, name, b"request", seconds=1.0)
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
    gate = asyncio.Event()

    async def slow(peer: NodeId, request: bytes) -> bytes:
        calls.append(request)
        await gate.wait()
        return request

    await arena.node.serve_calls(name, slow)
    message = delimit(wire.make_call(bytes(16), b"", call_name(name), b"x"))
    streams = [await arena.attacker.open(arena.node.node_id, call_name(name)) for _ in range(2)]
    for stream in streams:
        stream.write_head(message)
    await until(lambda: b"x" in calls)
    asking = asyncio.create_task(arena.honest.call(arena.node.node_id, name, b"honest", seconds=PATIENCE_SECONDS))
    await until(lambda: b"honest" in calls)
    gate.set()
    assert await asking == b"honest"
    assert sorted(calls) == [b"honest", b"x"]
    for stream in streams:
        stream.abort()
    await until(lambda: arena.node.calls_in_progress == 0)
