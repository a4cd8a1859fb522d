"""Frames and delimited messages, fed in pieces of every size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle.core.errors import RemoteProtocolError
from waggle.mesh.libp2p.framing import END_FRAME, FrameBuffer, header
from waggle.mesh.libp2p.p2pd.delimited import MAX_MESSAGE_BYTES, DelimitedBuffer, delimit, varint
from waggle.mesh.limits import MAX_FRAME_BYTES, MIB

PIECES = st.lists(st.integers(1, 40), min_size=1)


def in_pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    """The data cut into pieces of these sizes, over and over."""
    pieces: list[bytes] = []
    at = 0
    while at < len(data):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(data[at : at + size])
        at += size
    return pieces


def take_all(buffer: FrameBuffer) -> list[bytes]:
    frames = []
    while (frame := buffer.take()) is not None:
        frames.append(frame)
    return frames


@given(st.lists(st.binary(max_size=50)), PIECES, st.booleans())
def test_frames_come_out_as_they_went_in(frames: list[bytes], sizes: list[int], taken_at_once: bool) -> None:
    wire = b"".join(header(len(frame)) + frame for frame in frames) + END_FRAME + b"ignored"
    buffer, out = FrameBuffer(), []
    for piece in in_pieces(wire, sizes):
        buffer.feed(piece)
        if taken_at_once:
            out += take_all(buffer)
    assert out + take_all(buffer) == frames
    assert buffer.ended
    assert buffer.held_bytes == 0


@given(st.integers(MAX_FRAME_BYTES + 1, 0xFFFF_FFFE))
def test_a_frame_that_is_too_long_is_refused_by_its_header(length: int) -> None:
    buffer = FrameBuffer()
    buffer.feed(header(2) + b"ok")
    with pytest.raises(RemoteProtocolError):
        buffer.feed(header(length))
    assert take_all(buffer) == [b"ok"]


def test_the_longest_frame_is_whole_with_its_last_byte() -> None:
    buffer = FrameBuffer()
    buffer.feed(header(MAX_FRAME_BYTES))
    for _ in range(MAX_FRAME_BYTES // MIB):
        assert buffer.take() is None
        assert buffer.partial
        buffer.feed(bytes(MIB))
    assert len(buffer.take() or b"") == MAX_FRAME_BYTES


def test_what_was_announced_takes_no_memory() -> None:
    buffer = FrameBuffer()
    buffer.feed(header(MAX_FRAME_BYTES) + b"x")
    assert buffer.held_bytes == 5


@given(st.binary(max_size=300), PIECES)
def test_any_bytes_are_frames_or_a_remote_error(data: bytes, sizes: list[int]) -> None:
    buffer = FrameBuffer(max_frame_bytes=100)
    try:
        for piece in in_pieces(data, sizes):
            buffer.feed(piece)
    except RemoteProtocolError:
        pass
    assert all(len(frame) <= 100 for frame in take_all(buffer))
    assert buffer.held_bytes <= len(data)


def test_dropped_frames_leave_the_unfinished_one() -> None:
    buffer = FrameBuffer()
    buffer.feed(header(1) + b"a" + header(2) + b"b")
    buffer.drop_whole()
    buffer.feed(b"c")
    assert take_all(buffer) == [b"bc"]


@given(st.lists(st.binary(max_size=300)), PIECES)
def test_messages_come_out_as_they_went_in(messages: list[bytes], sizes: list[int]) -> None:
    buffer, out = DelimitedBuffer(), []
    for piece in in_pieces(b"".join(delimit(message) for message in messages), sizes):
        buffer.feed(piece)
        while (message := buffer.take()) is not None:
            out.append(message)
    assert out == messages
    assert buffer.take_rest() == b""


@pytest.mark.parametrize("start", [varint(MAX_MESSAGE_BYTES + 1), b"\xff" * 5, b"\xff" * 9])
def test_an_impossible_length_is_an_error(start: bytes) -> None:
    buffer = DelimitedBuffer()
    buffer.feed(start)
    with pytest.raises(ValueError, match=r"bytes|bits"):
        buffer.take()
