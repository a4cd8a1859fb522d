"""A stream's end of a connection, with the test at the other end of a pair of sockets instead of the daemon."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from waggle.core.errors import PeerUnreachable, RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.mesh.libp2p import stream as stream_module
from waggle.mesh.libp2p.framing import END_FRAME, header
from waggle.mesh.libp2p.p2pd.delimited import delimit
from waggle.mesh.libp2p.stream import HELD_BYTES, FrameStream
from waggle.mesh.limits import KIB, MAX_FRAME_BYTES, MIB

PEER = NodeId("peer")
PATIENCE_SECONDS = 30.0
CLOCK_TICK = 0.002  # uvloop's clock counts whole milliseconds, and a timer may fire one of them early


class OtherEnd:
    """The daemon's side: raw bytes in and out."""

    def __init__(self, plug: socket.socket) -> None:
        self._plug = plug

    async def write(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._plug, data)

    async def read(self, size: int) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self._plug, size)

    def write_some(self, data: bytes) -> int:
        """What goes out without waiting."""
        try:
            return self._plug.send(data)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        self._plug.close()


@asynccontextmanager
async def plugged(charge: Callable[[int, int], float] | None = None) -> AsyncIterator[tuple[FrameStream, OtherEnd]]:
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    stream = FrameStream(memoryview(bytearray(64 * KIB)))
    await asyncio.get_running_loop().create_connection(lambda: stream, sock=near)
    other = OtherEnd(far)
    await other.write(delimit(b"head"))
    assert await stream.head == b"head"
    stream.begin(PEER, charge=charge)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield stream, other
    finally:
        stream.abort()
        await stream.wait_lost()
        other.close()


async def test_frames_sent_right_behind_the_head_are_received() -> None:
    near, far = socket.socketpair()
    near.setblocking(False)
    stream = FrameStream(memoryview(bytearray(64 * KIB)))
    far.sendall(delimit(b"head") + header(3) + b"one" + END_FRAME)
    await asyncio.get_running_loop().create_connection(lambda: stream, sock=near)
    await stream.head
    stream.begin(PEER, greeting=b"hello")
    assert [await stream.receive(), await stream.receive()] == [b"one", None]
    await stream.wait_lost()
    assert far.recv(100) == header(5) + b"hello" + END_FRAME
    far.close()


async def test_an_end_before_any_frame_still_gets_our_greeting() -> None:
    async with plugged() as (stream, other):
        await stream.send(b"hello")
        await other.write(END_FRAME)
        assert await stream.receive() is None
        await stream.wait_lost()
        assert await other.read(100) == header(5) + b"hello" + END_FRAME


@pytest.mark.parametrize("cut", [b"", b"\0", header(5), header(5) + b"half"])
async def test_a_link_that_ends_without_an_end_frame_is_broken(cut: bytes) -> None:
    async with plugged() as (stream, other):
        await other.write(header(3) + b"one" + cut)
        other.close()
        assert await stream.receive() == b"one"
        for _ in range(2):
            with pytest.raises(PeerUnreachable):
                await stream.receive()
        with pytest.raises(PeerUnreachable):
            await stream.send(b"late")


async def test_an_oversize_frame_is_refused_and_the_link_dropped() -> None:
    async with plugged() as (stream, other):
        await other.write(header(3) + b"one" + header(MAX_FRAME_BYTES + 1))
        assert await stream.receive() == b"one"
        for _ in range(2):
            with pytest.raises(RemoteProtocolError):
                await stream.receive()
        assert await other.read(1) == b""


async def test_reading_stops_while_frames_wait_and_goes_on_when_they_are_taken() -> None:
    async with plugged() as (stream, other):
        frame = header(KIB) + bytes(KIB)
        written = 0
        for _ in range(200):
            written += other.write_some(frame * 64)
            await asyncio.sleep(0)
        assert written < HELD_BYTES + MIB
        for _ in range(written // len(frame)):
            assert await stream.receive() == bytes(KIB)


async def test_a_peer_that_sends_too_fast_is_read_no_more_for_a_while() -> None:
    charged: list[tuple[int, int]] = []

    def charge(size: int, frames: int) -> float:
        charged.append((size, frames))
        return 0.3

    async with plugged(charge) as (stream, other):
        began = asyncio.get_running_loop().time()
        await other.write(header(1) + b"a")
        assert await stream.receive() == b"a"
        await other.write(header(1) + b"b")
        assert await stream.receive() == b"b"
        assert asyncio.get_running_loop().time() - began > 0.3 - CLOCK_TICK
        assert charged == [(5, 1), (5, 1)]


@pytest.mark.parametrize("end", [b"", END_FRAME], ids=["open", "ended"])
async def test_what_has_come_of_a_peer_that_sends_too_fast_waits_too(end: bytes) -> None:
    """Else many streams of one peer would bring as many bursts, and one that ends would wait for nothing."""
    async with plugged(lambda size, frames: 0.3) as (stream, other):
        began = asyncio.get_running_loop().time()
        await other.write((header(1) + b"a") * 2 + end)
        assert [await stream.receive(), await stream.receive()] == [b"a", b"a"]
        assert asyncio.get_running_loop().time() - began > 0.3 - CLOCK_TICK


async def test_a_frame_that_does_not_get_whole_in_time_breaks_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "FRAME_SECONDS", 0.2)
    async with plugged() as (stream, other):
        await other.write(header(1) + b"a" + header(MIB))
        assert await stream.receive() == b"a"
        dripping = asyncio.create_task(drip(other))
        with pytest.raises(PeerUnreachable):
            await stream.receive()
        dripping.cancel()


async def drip(other: OtherEnd) -> None:
    """One byte after the other, each in good time, for as long as anybody listens."""
    with suppress(OSError):
        while True:
            await other.write(b"x")
            await asyncio.sleep(0.02)


async def test_a_close_that_the_other_side_ignores_is_over_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "CLOSE_SECONDS", 0.2)
    async with plugged() as (stream, other):
        await stream.close()
        assert await other.read(100) == END_FRAME
        await stream.wait_lost()
        assert await other.read(100) == b""


async def test_what_was_sent_before_the_close_arrives_although_the_other_side_still_sends() -> None:
    async with plugged() as (stream, other):
        await stream.send(b"last")
        await stream.close()
        await other.write((header(KIB) + bytes(KIB)) * 20)
        assert await other.read(8) == header(4) + b"last"
        assert await other.read(100) == END_FRAME
        await other.write((header(KIB) + bytes(KIB)) * 20 + END_FRAME)
        await stream.wait_lost()


async def test_a_cancelled_send_leaves_whole_frames_on_the_wire() -> None:
    async with plugged() as (stream, other):
        sending = asyncio.create_task(stream.send(b"x" * MIB))
        await asyncio.sleep(0.05)
        assert not sending.done()
        sending.cancel()
        sent = asyncio.create_task(stream.send(b"next"))
        wire = b""
        while not wire.endswith(b"next"):
            wire += await other.read(MIB)
        await sent
        assert wire == header(MIB) + b"x" * MIB + header(4) + b"next"


async def test_a_sender_that_waits_learns_of_the_end() -> None:
    async with plugged() as (stream, other):
        sending = asyncio.create_task(stream.send(b"x" * MIB))
        await asyncio.sleep(0.05)
        await other.write(END_FRAME)
        with pytest.raises(PeerUnreachable):
            await sending
