"""Checks on streams: order, sizes, both directions, every way to end."""

import asyncio

from waggle.core.errors import LocalProtocolError, PeerRefused, PeerUnreachable
from waggle.mesh.limits import KIB, MAX_FRAME_BYTES
from waggle.mesh.transport import Stream
from waggle.testing.transport_checks.subject import (
    SECRET,
    SETTLE_S,
    Trio,
    echo,
    echo_frames,
    fresh_protocol,
    met,
    raises,
    soon,
    stream_pair,
)


async def check_frames_arrive_whole_and_in_order(trio: Trio) -> None:
    """Frames of many sizes, sent without waiting, come back one by one."""
    a, b, _ = trio
    protocol = fresh_protocol()
    await b.serve_streams(protocol, echo_frames)
    stream = await a.open(await met(a, b), protocol)
    frames = [number.to_bytes(2) * (number * 7 % 301) for number in range(300)]
    sending = asyncio.create_task(_send_all(stream, frames))
    back = [await stream.receive() for _ in frames]
    await sending
    assert back == frames, "frames were lost, changed or reordered"
    await stream.close()


async def _send_all(stream: Stream, frames: list[bytes]) -> None:
    for frame in frames:
        await stream.send(frame)


async def _receive_all(stream: Stream, number: int) -> list[bytes | None]:
    return [await stream.receive() for _ in range(number)]


async def check_both_directions_run_at_once(trio: Trio) -> None:
    """Each side sends and receives at the same time, neither waiting for the other; both know who is there."""
    a, b, _ = trio
    near, far, kept = await stream_pair(a, b)
    assert (near.peer, far.peer) == (b.node_id, a.node_id), f"the sides take each other for {near.peer}, {far.peer}"
    ours, theirs = ([bytes([side, number]) * 8 * KIB for number in range(50)] for side in range(2))
    there, back, *_ = await asyncio.gather(
        _receive_all(far, 50), _receive_all(near, 50), _send_all(near, ours), _send_all(far, theirs)
    )
    assert (there, back) == (ours, theirs), "what arrived is not what was sent"
    kept.let_go.set()
    await near.close()


async def check_the_smallest_and_the_largest_frame_pass(trio: Trio) -> None:
    """An empty frame is a frame, MAX_FRAME_BYTES pass; one more is our own error and leaves the stream as it was."""
    a, b, _ = trio
    near, far, kept = await stream_pair(b, a)
    await near.send(b"")
    assert await far.receive() == b"", "an empty frame did not arrive"
    await raises(LocalProtocolError, near.send(bytes(MAX_FRAME_BYTES + 1)), "an oversize frame")
    largest = bytes(range(256)) * (MAX_FRAME_BYTES // 256)
    _, arrived = await asyncio.gather(near.send(largest), far.receive())
    assert arrived == largest, "the largest frame did not arrive as it was"
    kept.let_go.set()
    await near.close()


async def check_an_unknown_protocol_opens_no_stream(trio: Trio) -> None:
    """Nobody serves it, or serves its calls only: PeerRefused."""
    a, b, _ = trio
    peer, protocol = await met(a, b), fresh_protocol()
    await raises(PeerRefused, a.open(peer, protocol), "a stream nobody serves", within=SETTLE_S)
    await b.serve_calls(protocol, echo)
    await raises(PeerRefused, a.open(peer, protocol), "a stream where calls are served", within=SETTLE_S)


async def check_the_opener_ends_a_stream(trio: Trio) -> None:
    """All frames before the end arrive, then None; nothing can be sent either way; closing twice is harmless."""
    a, b, _ = trio
    near, far, kept = await stream_pair(a, b)
    await _assert_ends(near, far)
    kept.let_go.set()


async def check_the_server_ends_a_stream(trio: Trio) -> None:
    """The same from the other side."""
    a, b, _ = trio
    near, far, kept = await stream_pair(a, b)
    await _assert_ends(far, near)
    kept.let_go.set()


async def _assert_ends(closing: Stream, other: Stream) -> None:
    frames = [bytes([number]) * 1000 for number in range(20)]
    await _send_all(closing, frames)
    await closing.close()
    await closing.close()
    assert await soon(_receive_all(other, 20), "frames before an end arrive") == frames, "frames before the end"
    assert await soon(other.receive(), "the end of a stream arrives") is None, "a frame after the end"
    assert await soon(other.receive(), "an end stays an end") is None, "a frame after the end"
    await raises(PeerUnreachable, other.send(b"late"), "sending to who is done")
    await raises(PeerUnreachable, closing.send(b"late"), "sending on a stream we closed")
    await other.close()


async def check_a_stream_ends_with_its_handler(trio: Trio) -> None:
    """When the handler returns or fails, the other side reads what was sent and then None."""
    a, b, _ = trio
    peer = await met(a, b)

    async def return_at_once(stream: Stream) -> None:
        await stream.send(b"bee")

    async def fail(stream: Stream) -> None:
        await stream.send(b"bee")
        raise ValueError(SECRET)

    for handler in (return_at_once, fail):
        protocol = fresh_protocol()
        await b.serve_streams(protocol, handler)
        stream = await a.open(peer, protocol)
        read = await soon(_receive_all(stream, 2), f"a stream whose handler does {handler.__name__} ends")
        assert read == [b"bee", None], f"where the handler does {handler.__name__}, {read} was read"
        await stream.close()


async def check_closing_wakes_our_own_reader(trio: Trio) -> None:
    """A receive under way on the side that closes ends, with None."""
    a, b, _ = trio
    near, _, kept = await stream_pair(a, b)
    reading = asyncio.create_task(near.receive())
    await asyncio.sleep(0.1)
    await near.close()
    assert await soon(reading, "a receive ends when its own side closes the stream") is None, "a frame out of nowhere"
    kept.let_go.set()


async def check_a_broken_link_is_no_clean_end(trio: Trio) -> None:
    """Where the link is dropped, both sides learn that it broke, and neither takes it for the end."""
    a, b, _ = trio
    near, far, kept = await stream_pair(a, b)
    await near.send(b"bee")
    assert await soon(far.receive(), "a frame arrives") == b"bee", "another frame arrived"
    reading = [asyncio.create_task(side.receive()) for side in (near, far)]
    await asyncio.sleep(0.1)
    await a.disconnect(b.node_id)
    for side, task in zip(("the side that dropped the link", "the other side"), reading, strict=True):
        await raises(PeerUnreachable, task, f"{side} of a broken stream", within=SETTLE_S)
    await raises(PeerUnreachable, far.send(b"late"), "sending on a broken stream", within=SETTLE_S)
    kept.let_go.set()


async def check_cancelled_receives_lose_no_frame(trio: Trio) -> None:
    """A reader that gives up and comes back later finds every frame."""
    a, b, _ = trio
    near, far, kept = await stream_pair(a, b)
    for number in range(5):
        reading = asyncio.create_task(far.receive())
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        await near.send(bytes([number]))
        got = await soon(far.receive(), "a frame arrives after a receive was cancelled")
        assert got == bytes([number]), f"frame {number} came as {got!r}"
    kept.let_go.set()
    await near.close()


STREAM_CHECKS = (
    check_frames_arrive_whole_and_in_order,
    check_both_directions_run_at_once,
    check_the_smallest_and_the_largest_frame_pass,
    check_an_unknown_protocol_opens_no_stream,
    check_the_opener_ends_a_stream,
    check_the_server_ends_a_stream,
    check_a_stream_ends_with_its_handler,
    check_closing_wakes_our_own_reader,
    check_a_broken_link_is_no_clean_end,
    check_cancelled_receives_lose_no_frame,
)
