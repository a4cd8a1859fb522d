"""Whatever bytes a peer sends, the codec gives a message or a RemoteProtocolError, in bounded time and memory."""

import tracemalloc
from functools import cache
from random import Random
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.mesh.forger import forged, refusal, saying, sealed
from tests.unit.mesh.wire_samples import NODE, ROUND, SAMPLES, SEQ, messages, packed
from waggle.core.errors import RemoteProtocolError
from waggle.mesh.codec import KINDS, open_envelope, unseal
from waggle.mesh.limits import MAX_FRAME_BYTES, MAX_ITEMS
from waggle.mesh.messages import Message

pytestmark = pytest.mark.timeout(300)

relaxed = settings(deadline=None)

CASES = 1_000
HEADERS = b"\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc4\xc6\xc7\xca\xcb\xcf\xd3\xd4\xd9\xdb\xdc\xdd\xde\xdf\xff"
SECONDS = 0.1
BYTES = 64 * 1024 * 1024


# --- bytes ----------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=600))
@settings(max_examples=CASES, deadline=None)
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    refusal(data)


MANY = [pytest.param(CASES), pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]


@pytest.mark.parametrize("cases", MANY)
def test_random_bytes_are_refused(cases: int) -> None:
    rng = Random(1)
    for _ in range(cases):
        refusal(rng.randbytes(rng.randrange(600)))


def damaged(body: bytes, rng: Random) -> bytes:
    """A few bytes changed, dropped, doubled or put in, half of them to values that mean something in MessagePack."""
    changed = bytearray(body)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        byte = rng.choice(HEADERS) if rng.random() < 0.5 else rng.randrange(256)
        changed[at : at + rng.choice((0, 1, 1, 1, 9))] = bytes([byte]) * rng.choice((0, 1, 1, 1, 2))
    return bytes(changed)


@pytest.mark.parametrize("cases", MANY)
def test_a_damaged_body_is_a_message_of_its_kind_or_refused_though_it_is_signed(cases: int) -> None:
    rng = Random(2)
    bodies = {kind: open_envelope(sealed(message), sender=NODE).body for kind, message in SAMPLES.items()}
    taken = 0
    for _ in range(cases):
        kind = rng.choice(sorted(KINDS))
        frame = forged(kind=kind, body=damaged(bodies[kind], rng))
        try:
            message = unseal(frame, sender=NODE, round_id=ROUND, seq=SEQ)
        except RemoteProtocolError:
            continue
        assert type(message) is KINDS[kind]
        assert unseal(sealed(message), sender=NODE, round_id=ROUND, seq=SEQ) == message
        taken += 1
    assert 0 < taken < cases / 2


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "event", "p"]), inner),
    max_leaves=5,
)


@given(st.sampled_from(sorted(KINDS)), anything)
@relaxed
def test_a_signed_body_of_anything_is_refused(kind: str, value: object) -> None:
    refusal(saying(value, kind))


@given(messages())
@relaxed
def test_no_message_passes_for_another_kind(message: Message) -> None:
    body = open_envelope(sealed(message), sender=NODE).body
    for kind in KINDS.keys() - {str(type(message).__struct_config__.tag)}:
        assert "kind that its envelope says" in refusal(forged(kind=kind, body=body))


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_cut_anywhere_is_refused(kind: str) -> None:
    frame = sealed(SAMPLES[kind])
    for length in range(len(frame)):
        assert refusal(frame[:length]) == "the message ends too early"


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_cut_anywhere_is_refused_though_it_is_signed(kind: str) -> None:
    body = open_envelope(sealed(SAMPLES[kind]), sender=NODE).body
    for length in range(len(body)):
        assert refusal(forged(kind=kind, body=body[:length])) == "the message ends too early"


@pytest.mark.parametrize("kind", ["ballot", "still_here", "question"])
def test_every_bit_of_a_frame_counts(kind: str) -> None:
    frame = sealed(SAMPLES[kind])
    for bit in range(8 * len(frame)):
        flipped = bytearray(frame)
        flipped[bit // 8] ^= 1 << bit % 8
        refusal(bytes(flipped))


def test_bytes_after_a_frame_are_refused() -> None:
    assert refusal(sealed(SAMPLES["ballot"]) + b"\0") == "the message is followed by other bytes"


# --- size and shape -------------------------------------------------------------------------------------------------


def test_a_frame_beyond_the_limit_is_refused_before_it_is_looked_at() -> None:
    assert "bytes" in refusal(bytes(MAX_FRAME_BYTES + 1))


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\xa1x", b"\xd4"])
def test_a_nest_of_a_hundred_thousand_is_refused_outside_and_inside(opening: bytes) -> None:
    for body in (opening * 100_000, b"\x82\xa4type\xa6ballot\xa5first" + opening * 100_000):
        refusal(body)
        refusal(forged(body=body))


@pytest.mark.parametrize("header", [b"\xc6", b"\xdb", b"\xdd", b"\xdf", b"\xc9"])
def test_a_declared_length_of_four_billion_is_refused_outside_and_inside(header: bytes) -> None:
    refusal(header + b"\xff" * 4)
    refusal(forged()[:-66] + header + b"\xff" * 4)
    for body in (header + b"\xff" * 4, b"\x82\xa4type\xa6ballot\xa6reason" + header + b"\xff" * 4):
        refusal(forged(body=body))


@cache
def dear() -> dict[str, tuple[str, bytes]]:
    """Kind and body of the dearest messages that fit a frame and are rightly signed."""
    most = MAX_FRAME_BYTES - 1_000
    plan = b"\x82\xa4type\xa7planned\xa4plan"
    outcome = b"\x82\xa4type\xa8answered\xa7outcome"
    standings = packed({"node": NODE})
    count = (MAX_ITEMS - 10) // 3
    texts = most // 20_000 - 4
    wide = "\U0001f41d" + "x" * (most - 200)
    pairs = (MAX_ITEMS - 10) // 2
    return {
        "a million nils": ("ballot", b"\xdd" + (1_000_000).to_bytes(4) + b"\xc0" * 1_000_000),
        "a nest": ("planned", plan + b"\x91" * (most - 50)),
        "one wide text": ("planned", plan + b"\x81\xa8question" + packed(wide)),
        "a long answer": ("reveal", packed({"type": "reveal", "answer": wide, "nonce": "0" * 32})),
        "many nodes": (
            "planned",
            plan + b"\x81\xa9proposers\xdd" + min(count, most // len(standings)).to_bytes(4)
            + standings * min(count, most // len(standings)),
        ),
        "many numbers": (
            "planned",
            plan + b"\x81\xaaconfidence\x81\xaccoefficients\xdd" + (MAX_ITEMS - 20).to_bytes(4)
            + b"\xcb\x3f\xf0\0\0\0\0\0\0" * (MAX_ITEMS - 20),
        ),
        "many failures": (
            "answered",
            outcome + b"\x81\xa8failures\xdf" + pairs.to_bytes(4)
            + b"".join(packed(f"{number:055d}") + packed("\U0001f41dxxxxxxxx") for number in range(pairs)),
        ),
        "many wide texts": (
            "answered",
            outcome + b"\x81\xa8failures\xde" + texts.to_bytes(2)
            + b"".join(packed(str(number)) + packed("\U0001f41d" + "x" * 19_900) for number in range(texts)),
        ),
        "many unknown fields": (
            "ballot",
            b"\xdf" + pairs.to_bytes(4) + b"".join(packed(f"{number:050d}") + b"\xc0" for number in range(pairs)),
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", dear())
def test_no_signed_message_takes_long_or_much(name: str) -> None:
    kind, body = dear()[name]
    frame = forged(kind=kind, body=body)
    assert len(frame) <= MAX_FRAME_BYTES
    tracemalloc.start()
    refusal(frame)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < BYTES
    assert min(seconds_of(frame) for _ in range(3)) < SECONDS


def seconds_of(frame: bytes) -> float:
    """Processor time of one refusal; the least of a few is free of what else the machine does."""
    began = process_time()
    refusal(frame)
    return process_time() - began
