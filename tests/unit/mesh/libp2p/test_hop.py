"""What a relay answers to a request for a place: read where it is what libp2p says, refused where it is not."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle.mesh.libp2p.p2pd.hop import MAX_ANSWER_BYTES, PlaceAnswer, read_answer

GRANTED = bytes.fromhex(
    "08021acd0108c2ee87d8061ac4010a240801122037cdef7cf29a668e368d36fc1163402bf0c5f849fa50b3a9c0eb34d4d84a8c0e120203021a"
    "560a2600240801122037cdef7cf29a668e368d36fc1163402bf0c5f849fa50b3a9c0eb34d4d84a8c0e122600240801122088c35ab50ce00b5f"
    "0e3562cd63d5feac59d6ea43da15333bbc18f5ac5eaca57c18c2ee87d8062a4063b4d6eb02ceadde79efa9b2c2030e49be2823de01326b9a50"
    "dfa298e6b5b7aa6976974dfeb64327c9a0a781052db8de4ac97a4c9a8389347af766455f220200220908880e1080808080102864"
)
"""A relay of go-libp2p 0.32 holds a place for an hour, and lets 4 GiB through within 30 minutes."""

STATUS, OK, DENIED = b"\x08\x02", b"\x28\x64", b"\x28\xca\x01"


def test_a_place_is_read_with_its_limit() -> None:
    assert read_answer(GRANTED) == PlaceAnswer("", 4 * 1024**3)
    assert read_answer(STATUS + b"\x22\x04\x10\x80\x80\x08" + OK) == PlaceAnswer("", 128 * 1024)


def test_a_place_without_a_limit_is_one() -> None:
    assert read_answer(STATUS + OK) == PlaceAnswer("", 0)


def test_a_refusal_is_told_in_words() -> None:
    assert read_answer(STATUS + DENIED).refusal == "it gives us no place"
    assert read_answer(STATUS + b"\x28\x07").refusal == "it answers with status 7"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        OK,  # of no type
        STATUS,  # without a status
        b"\x08\x00" + OK,  # a request
        STATUS + b"\x2a\x01\x64",  # a status that is text
        STATUS + OK + b"\x20\x05",  # a limit that is a number
        STATUS + OK + b"\x22\x03\x12\x01\x05",  # a limit of bytes that is text
        STATUS + OK + b"\x22\x7f",  # a field that ends after the message
        STATUS + b"\x28" + b"\xff" * 11,  # a number without an end
        STATUS + OK + b"\x2d\x00\x00\x00\x00",  # a field of a kind that is not known
        STATUS + OK + bytes([0x1A, 0x80, 0x20]) + bytes(MAX_ANSWER_BYTES),
    ],
)
def test_anything_else_is_no_answer(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"an answer|a number"):
        read_answer(data)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(ValueError):  # any other exception fails the test
        read_answer(data)


@given(st.integers(min_value=0, max_value=len(GRANTED) - 1))
def test_an_answer_cut_short_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=r"an answer|a number"):
        read_answer(GRANTED[:length])
