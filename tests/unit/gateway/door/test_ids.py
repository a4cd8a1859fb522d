"""What a request is called."""

import re

import pytest

from tests.unit.gateway.door.inner import HOST, Inner, bearer, guarded
from tests.unit.gateway.raw_http import call
from waggle.gateway.keys.store import KeyStore


@pytest.mark.parametrize("given", ["0123456789abcdef0123456789abcdef", "01234567-89AB-cdef-0123-456789abcdef"])
async def test_a_callers_own_id_is_kept_from_header_to_header(inner: Inner, given: str) -> None:
    reply = await call(guarded(inner), headers=[HOST, ("x-request-id", given)])
    assert reply.header("x-request-id") == "0123456789abcdef0123456789abcdef"
    assert inner.seen[0]["state"]["request"] == "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    "given",
    ["", "x", "0" * 31, "0" * 33, "g" * 32, "0-" * 16, "../../etc/passwd", "0" * 31 + "\n", "٠" * 16, "0" * 10_000],
)
async def test_an_id_that_is_none_is_replaced(inner: Inner, given: str) -> None:
    headers = [HOST, ("x-request-id", given.encode().decode("latin-1"))]
    made = (await call(guarded(inner), headers=headers)).header("x-request-id")
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert made == inner.seen[0]["state"]["request"] != given


async def test_an_id_cannot_be_used_twice(inner: Inner) -> None:
    guard, headers = guarded(inner), [HOST, ("x-request-id", "a" * 32)]
    first, second = [(await call(guard, headers=headers)).header("x-request-id") for _ in range(2)]
    assert first == "a" * 32 != second


async def test_a_refusal_too_has_an_id_and_repeats_nothing_of_the_request(inner: Inner, keys: KeyStore) -> None:
    secret = "wk-" + "S" * 43
    reply = await call(
        guarded(inner, keys),
        "POST",
        f"/v1/{secret}",
        headers=[HOST, bearer(secret), ("cookie", f"waggle_session={secret}"), ("x-request-id", "b" * 32)],
        body=[secret.encode()],
    )
    assert reply.header("x-request-id") == "b" * 32
    assert "SSSS" not in repr(reply)
