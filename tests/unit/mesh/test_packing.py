"""Strict reading and writing of every payload: our faults are ours, theirs are theirs, in words that leak nothing."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waggle.core.errors import LocalProtocolError, RemoteProtocolError
from waggle.core.mesh_values import Advert, Load
from waggle.mesh.packing import decode_as, encode

relaxed = settings(deadline=None)

LOAD = Load(running=1, waiting=2, capacity=3)


class Named(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A payload with a text and a free-for-all map."""

    text: str
    shares: dict[str, float] = {}


def test_a_value_arrives_as_it_was_sent() -> None:
    assert decode_as(Load, encode(LOAD, 100), 100) == LOAD
    assert decode_as(tuple[Load, ...], encode((LOAD, LOAD), 100), 100) == (LOAD, LOAD)


def test_the_size_is_bounded_on_both_sides() -> None:
    data = encode(LOAD, 100)
    assert decode_as(Load, data, len(data)) == LOAD
    with pytest.raises(RemoteProtocolError, match="allowed"):
        decode_as(Load, data, len(data) - 1)
    assert encode(LOAD, len(data)) == data
    with pytest.raises(LocalProtocolError, match="allowed"):
        encode(LOAD, len(data) - 1)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("-inf"),
        "\ud800",
        2**63,
        2**64,
        -(2**63) - 1,
        pytest.param(object(), id="object"),
        [[[[[[[[[1]]]]]]]]],
    ],
    ids=repr,
)
def test_what_no_receiver_takes_is_not_sent(value: object) -> None:
    with pytest.raises(LocalProtocolError):
        encode([value], 1000)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0",
        b"\x80\x80",
        msgspec.msgpack.encode({"running": -1, "waiting": 0, "capacity": "3"}),
        msgspec.msgpack.encode({"running": True}),
        msgspec.msgpack.encode({"running": 1.5}),
        msgspec.msgpack.encode({"secret": 1}),
        msgspec.msgpack.encode({"secret": 1, "running": None}),
        b"\x81\xa2\xff\xfe\x01",
        b"\x81\xd9\x07running\xcf" + b"\xff" * 8,
    ],
    ids=bytes.hex,
)
def test_what_is_not_of_the_type_is_the_senders_fault(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match=r"^12D3KooX: ") as caught:
        decode_as(Load, data, 1000, sender="12D3KooX")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "data", [b"\x81\xa4text\xa3\xed\xa0\x80", b"\x81\xa4text\xa1\xff", b"\x81\xa4text\xa4\xf4\x90\x80\x80"]
)
def test_text_that_is_not_unicode_is_the_senders_fault(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="UTF-8"):
        decode_as(Named, data, 1000)


def test_a_nul_in_a_text_is_allowed() -> None:
    assert decode_as(Named, encode(Named(text="a\0b"), 100), 100).text == "a\0b"


@given(st.text(min_size=12))
@relaxed
def test_an_error_never_quotes_the_message(secret: str) -> None:
    for value in (
        {"text": "", secret: 1},
        {"text": "", "shares": {secret: secret}},
        {"text": 1, "shares": secret},
        secret,
    ):
        with pytest.raises(RemoteProtocolError) as caught:
            decode_as(Named, msgspec.msgpack.encode(value), 10_000)
        assert secret not in str(caught.value)
        assert len(str(caught.value)) < 150


def test_an_error_says_where_in_our_own_words() -> None:
    value = {"text": "", "shares": {"/home/me": "x"}}
    with pytest.raises(RemoteProtocolError) as caught:
        decode_as(Named, msgspec.msgpack.encode(value), 1000)
    assert str(caught.value) == "the peer: the message is not as its type demands at $.shares[...]"


def test_a_strangers_words_never_pass_for_a_place() -> None:
    value = {"text": "", "x - at `$.all.is.well": 1}
    with pytest.raises(RemoteProtocolError) as caught:
        decode_as(Named, msgspec.msgpack.encode(value), 1000)
    assert "well" not in str(caught.value)


@given(st.binary(max_size=300))
@relaxed
def test_arbitrary_bytes_give_a_value_or_the_senders_fault(data: bytes) -> None:
    for kind in (Load, Advert, Named):
        try:
            assert isinstance(decode_as(kind, data, 1000), kind)
        except RemoteProtocolError:
            continue
