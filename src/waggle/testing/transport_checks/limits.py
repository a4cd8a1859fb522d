"""Checks on what one peer may use of another: calls in flight, streams, bytes, unread frames."""

import asyncio

from waggle.core.errors import PeerBusy
from waggle.mesh.limits import (
    BURST_BYTES,
    MAX_BYTES_PER_SECOND,
    MAX_CALL_BYTES,
    MAX_CALLS_PER_PEER,
    MAX_STREAMS_PER_PEER,
    MIB,
)
from waggle.mesh.transport import Stream, Transport
from waggle.testing.transport_checks.subject import (
    LONG_S,
    SETTLE_S,
    Gate,
    Trio,
    echo,
    eventually,
    fresh_protocol,
    met,
    raises,
    soon,
    stream_pair,
)

MOST_UNREAD_BYTES = 48 * MIB
"""What may lie between a sender and a reader that does not read: our window and every buffer of a daemon on the way."""

REST_S = MAX_CALL_BYTES / MAX_BYTES_PER_SECOND + 0.5
"""After so long the last call that was let in has been made good."""

PAST_BURST_BYTES = BURST_BYTES + 2 * MAX_BYTES_PER_SECOND
"""What takes about 2 s to read."""

CALLS_IN_A_ROW = 100

STALL_S = 1.0
"""A send that takes so long is being held back."""


async def check_one_call_too_many_is_told_busy(trio: Trio) -> None:
    """The seventeenth call in flight of one peer is refused while another peer is served."""
    a, b, c = trio
    gate, peer, protocol, quick = Gate(), await met(a, b), fresh_protocol(), fresh_protocol()
    await met(c, b)
    await b.serve_calls(protocol, gate.answer)
    await b.serve_calls(quick, echo)
    calls = [asyncio.create_task(a.call(peer, protocol, b"", seconds=LONG_S)) for _ in range(MAX_CALLS_PER_PEER)]
    await eventually(lambda: gate.running == MAX_CALLS_PER_PEER, "as many calls run as one peer may have")
    await raises(PeerBusy, a.call(peer, quick, b""), "one call too many", within=SETTLE_S)
    assert await c.call(peer, quick, b"bee") == b"bee", "another peer is not served"
    gate.opened.set()
    await asyncio.gather(*calls)
    assert await a.call(peer, quick, b"bee") == b"bee", "no more calls after the limit was reached once"


async def check_who_is_answered_may_call_again(trio: Trio) -> None:
    """A peer that always has as many calls in flight as it may, each begun when one is answered, is never refused."""
    a, b, _ = trio
    peer, protocol = await met(a, b), fresh_protocol()
    await b.serve_calls(protocol, echo)

    async def one_after_the_other() -> None:
        for _ in range(CALLS_IN_A_ROW):
            await a.call(peer, protocol, b"bee")

    try:
        await asyncio.gather(*(one_after_the_other() for _ in range(MAX_CALLS_PER_PEER)))
    except PeerBusy:
        raise AssertionError("a call within the limit is refused") from None


async def check_one_stream_too_many_is_told_busy(trio: Trio) -> None:
    """The sixty-fifth stream of one peer is refused; another peer's is not, nor the next one after some were closed."""
    a, b, c = trio
    gate, peer, protocol = Gate(), await met(a, b), fresh_protocol()
    await b.serve_streams(protocol, gate.attend)
    streams = await _open_many(a, b, protocol, MAX_STREAMS_PER_PEER)
    await eventually(lambda: gate.running == MAX_STREAMS_PER_PEER, "as many streams run as one peer may have")
    await raises(PeerBusy, a.open(peer, protocol), "one stream too many", within=SETTLE_S)
    await (await c.open(await met(c, b), protocol)).close()
    await asyncio.gather(*(stream.close() for stream in streams))
    await eventually(lambda: gate.running == 0, "closed streams end their handlers")
    await (await a.open(peer, protocol)).close()
    await eventually(lambda: gate.running == 0, "the last stream ends its handler")


async def _open_many(opener: Transport, server: Transport, protocol: str, number: int) -> list[Stream]:
    streams = []
    for _ in range(number):
        streams.append(await opener.open(server.node_id, protocol))
    return streams


async def check_too_many_bytes_are_told_busy(trio: Trio) -> None:
    """Largest calls one after another get refused before long, while another peer is served; rest makes it good."""
    a, b, c = trio
    peer, protocol = await met(c, b), fresh_protocol()
    await met(a, b)
    await b.serve_calls(protocol, echo)
    await raises(PeerBusy, _send_much(c, b, protocol), "36 MiB of requests at once")
    assert await a.call(peer, protocol, b"bee") == b"bee", "another peer is not served"
    await asyncio.sleep(REST_S)
    assert await c.call(peer, protocol, b"bee") == b"bee", "no more calls after a rest"


async def _send_much(caller: Transport, server: Transport, protocol: str) -> None:
    for _ in range(12):
        await caller.call(server.node_id, protocol, bytes(MAX_CALL_BYTES))


async def check_too_many_frames_are_slowed_down(trio: Trio) -> None:
    """An opener of streams that sends without a pause is read at MAX_BYTES_PER_SECOND once the burst is over."""
    _, b, c = trio
    near, far, kept = await stream_pair(b, c)
    began = asyncio.get_running_loop().time()
    await asyncio.gather(_send(near, PAST_BURST_BYTES // MIB), _receive(far, PAST_BURST_BYTES // MIB))
    took = asyncio.get_running_loop().time() - began
    assert took > 1.0, f"{PAST_BURST_BYTES // MIB} MiB were read in {took:.2f} s"
    kept.let_go.set()
    await near.close()


async def _send(stream: Stream, frames: int) -> None:
    for _ in range(frames):
        await stream.send(bytes(MIB))


async def _receive(stream: Stream, frames: int) -> None:
    for number in range(frames):
        frame = await stream.receive()
        assert frame == bytes(MIB), f"frame {number} did not arrive as it was"


async def check_a_slow_reader_holds_its_sender_back(trio: Trio) -> None:
    """A sender waits while nobody reads, goes on once somebody does, and wakes when the stream is closed."""
    a, _, c = trio
    near, far, kept = await stream_pair(c, a)
    waiting = await _held_back(near)
    reading = asyncio.create_task(_read_on(far))
    await soon(waiting, "the sender goes on once the reader reads")
    reading.cancel()
    blocked = await _held_back(near)
    await near.close()
    await soon(asyncio.wait([blocked]), "closing a stream wakes whoever is sending on it")
    assert blocked.exception() is not None, "a frame was sent on a closed stream"
    kept.let_go.set()


async def _read_on(stream: Stream) -> None:
    while await stream.receive() is not None:
        pass


async def _held_back(stream: Stream) -> asyncio.Task[None]:
    """Send frames of 1 MiB until a send takes STALL_S; it is still under way."""
    sent = 0
    while sent * MIB <= MOST_UNREAD_BYTES:
        sending = asyncio.create_task(stream.send(bytes(MIB)))
        await asyncio.wait([sending], timeout=STALL_S)
        if not sending.done():
            return sending
        await sending
        sent += 1
    raise AssertionError(f"{sent} MiB were sent to a reader that does not read")


LIMIT_CHECKS = (
    check_one_call_too_many_is_told_busy,
    check_who_is_answered_may_call_again,
    check_one_stream_too_many_is_told_busy,
    check_too_many_bytes_are_told_busy,
    check_too_many_frames_are_slowed_down,
    check_a_slow_reader_holds_its_sender_back,
)
