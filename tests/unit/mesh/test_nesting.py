"""The scanner in front of every decoder: what it lets through is bounded, what it refuses costs nothing."""

import tracemalloc
from functools import cache
from time import process_time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waggle.mesh.limits import MAX_FRAME_BYTES, MAX_ITEMS, MAX_NESTING
from waggle.mesh.nesting import find_fault

pytestmark = pytest.mark.timeout(300)

relaxed = settings(deadline=None)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=300)
    | st.binary(max_size=300)
)
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner), max_leaves=40
)


def depth_of(value: object) -> int:
    match value:
        case list():
            return 1 + max(map(depth_of, value), default=0)
        case dict():
            return 1 + max(map(depth_of, value.values()), default=0)
        case _:
            return 0


def items_of(value: object) -> int:
    match value:
        case list():
            return 1 + sum(map(items_of, value))
        case dict():
            return 1 + len(value) + sum(map(items_of, value.values()))
        case _:
            return 1


@given(trees)
@relaxed
def test_depth_and_values_are_counted_as_they_are(value: object) -> None:
    data = msgspec.msgpack.encode(value)
    depth, items = depth_of(value), items_of(value)
    assert find_fault(data, max_depth=depth, max_items=items) is None
    if depth:
        assert find_fault(data, max_depth=depth - 1, max_items=items) is not None
        assert find_fault(data, max_depth=depth, max_items=items - 1) is not None


@given(trees, st.data())
@relaxed
def test_a_message_that_is_cut_or_followed_by_anything_is_refused(value: object, data: st.DataObject) -> None:
    whole = msgspec.msgpack.encode(value)
    cut = data.draw(st.integers(0, len(whole) - 1))
    assert find_fault(whole[:cut], max_depth=100) == "the message ends too early"
    assert find_fault(whole + b"\xc0", max_depth=100) == "the message is followed by other bytes"


@pytest.mark.parametrize("header", range(256), ids=hex)
def test_every_header_is_judged_as_the_decoder_judges_it(header: int) -> None:
    """One value of every header, followed by as many zero bytes as make it whole."""
    decodes = False
    for length in range(40):
        data = bytes([header]) + bytes(length)
        try:
            msgspec.msgpack.decode(data)
        except (msgspec.DecodeError, ValueError, TypeError):
            assert find_fault(data) is not None
            continue
        decodes = True
        extension = header in range(0xC7, 0xCA) or header in range(0xD4, 0xD9)
        assert (find_fault(data) is None) is not extension
    assert decodes is (header != 0xC1)


@pytest.mark.parametrize(
    "data",
    [
        b"\xc1\x00\x00",
        b"\xd4\x01\x00",
        b"\xd8\x01" + bytes(16),
        b"\xc7\x01\x01\x00",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\x91\xd6\xff" + bytes(4),
        b"\xca\x7f\x80\x00\x00",
        b"\xca\xff\xc0\x00\x00",
        b"\xcb\x7f\xf0" + bytes(6),
        b"\xcb\xff\xf0" + bytes(6),
        b"\xcb\x7f\xf8" + bytes(6),
        b"\xcb\x7f\xf0" + bytes(5) + b"\x01",
        b"\xcf\x80" + bytes(7),
        b"\xcf" + b"\xff" * 8,
    ],
    ids=bytes.hex,
)
def test_what_no_message_of_ours_holds_is_refused(data: bytes) -> None:
    for wrapped in (data, b"\x91" + data, b"\x81\xa1x" + data):
        assert (find_fault(wrapped) or "").startswith("the message has")


@pytest.mark.parametrize(
    "value", [1.7976931348623157e308, -5e-324, -0.0, 2**63 - 1, -(2**63), 2**32, "\0", "", b"", [], {}], ids=repr
)
def test_the_outermost_numbers_and_empty_things_are_allowed(value: object) -> None:
    assert find_fault(msgspec.msgpack.encode(value)) is None
    assert find_fault(msgspec.msgpack.encode([value])) is None


@pytest.mark.parametrize(
    "opening", [b"\x91", b"\x81\xc0", b"\xdc\x00\x01", b"\xdd\x00\x00\x00\x01", b"\xde\x00\x01\xc0"]
)
def test_a_nest_of_a_hundred_thousand_is_refused_at_the_limit(opening: bytes) -> None:
    assert find_fault(opening * MAX_NESTING + b"\xc0") is None
    assert find_fault(opening * (MAX_NESTING + 1) + b"\xc0") == f"the message is nested deeper than {MAX_NESTING}"
    assert find_fault(opening * 100_000) == f"the message is nested deeper than {MAX_NESTING}"


@pytest.mark.parametrize("header", [b"\xdd", b"\xdf", b"\xdb", b"\xc6"])
def test_a_declared_length_of_four_billion_costs_nothing(header: bytes) -> None:
    tracemalloc.start()
    assert find_fault(header + b"\xff\xff\xff\xff") is not None
    assert find_fault(header + b"\xff\xff\xff\xff" + bytes(1000)) is not None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


def array(count: int, each: bytes) -> bytes:
    return b"\xdd" + count.to_bytes(4) + each * count


@cache
def hostile() -> dict[str, bytes]:
    """The dearest inputs of at most one frame that we could think of."""
    most = MAX_ITEMS - 1
    filler = MAX_FRAME_BYTES // most
    return {
        "a million nils": array(1_000_000, b"\xc0"),
        "as many nils as allowed": array(most, b"\xc0"),
        "as many floats as allowed": array(most, b"\xcb\x3f" + bytes(7)),
        "as many short texts as allowed": array(most, b"\xd9\x01a"),
        "as many texts as fill the frame": array(most, b"\xda" + (filler - 4).to_bytes(2) + b"a" * (filler - 4)),
        "as many empty arrays as allowed": array(most, b"\x90"),
        "as many empty long maps as allowed": array(most, b"\xdf\x00\x00\x00\x00"),
        "nests side by side": array(9_000, b"\x91" * 7 + b"\xc0"),
        "one nest": b"\x91" * MAX_FRAME_BYTES,
        "one text": b"\xdb" + (MAX_FRAME_BYTES - 5).to_bytes(4) + bytes(MAX_FRAME_BYTES - 5),
        "extensions": array(most, b"\xd4\x01\x00"),
        "truncated at the end": array(most, b"\xcc\x01")[:-1],
    }


@pytest.mark.parametrize("name", hostile())
def test_no_input_takes_long_or_much(name: str) -> None:
    data = hostile()[name]
    assert len(data) <= MAX_FRAME_BYTES
    assert min(seconds_of(data) for _ in range(3)) < 0.1
    tracemalloc.start()
    find_fault(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


def seconds_of(data: bytes) -> float:
    """Processor time of one look; the least of a few is free of what else the machine does."""
    began = process_time()
    find_fault(data)
    return process_time() - began


@given(st.binary(max_size=200))
@relaxed
def test_the_scanner_and_the_decoder_agree_on_what_is_a_message(data: bytes) -> None:
    try:
        msgspec.msgpack.decode(data, type=msgspec.Raw)
    except msgspec.DecodeError:
        assert find_fault(data, max_depth=1_000) is not None
    else:
        assert (find_fault(data, max_depth=1_000) or "the message has").startswith("the message has")
