"""Base58: both ways, and as its specification says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waggle.trust import base58

relaxed = settings(deadline=None)


@given(st.binary(max_size=50))
@relaxed
def test_base58_gives_back_what_it_took(data: bytes) -> None:
    assert base58.decode(base58.encode(data)) == data


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", b""),
        ("1", b"\0"),
        ("121", b"\0\x3a"),
        ("2NEpo7TZRRrLZSi2U", b"Hello World!"),
        ("11233QC4", b"\0\0\x28\x7f\xb4\xcd"),
    ],
)
def test_base58_agrees_with_its_specification(text: str, data: bytes) -> None:
    assert base58.encode(data) == text
    assert base58.decode(text) == data
