"""By which names a gateway is called."""

import pytest

from tests.unit.gateway.door.inner import HOST, Inner, guarded
from tests.unit.gateway.raw_http import call
from waggle.core.errors import UsageError
from waggle.gateway.door.hosts import check_binding
from waggle.gateway.keys.store import KeyInfo, KeyStore
from waggle.gateway.options import GatewayOptions


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8080", "bee.example",
        "Bee.Example:443",
    ],
)  # fmt: skip
async def test_a_name_of_ours_is_answered(inner: Inner, host: str) -> None:
    reply = await call(guarded(inner, allowed_hosts=("Bee.example",)), headers=[("host", host)])
    assert reply.status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "localhost.", "127.1",
        "127.0.0.1.", "2130706433", "0x7f000001", "0.0.0.0", "127.0.0.2", "[::]", "[::ffff:127.0.0.1]", "::1", "", " ",
        "localhost@evil.example", "evil.example@localhost", "localhost/", "localhost#", "localhost?", "localhost\\",
        "localhost:", "localhost:x", "localhost:99999", "localhost:80:80", "localhost, evil.example", "http://localhost",
        "localhost\tx", "localhost\0", "[::1", "[localhost]", "ⅼocalhost".encode().decode("latin-1"), "a" * 300,
        "192.168.1.9",
    ],
)  # fmt: skip
async def test_a_foreign_or_crafted_name_is_not(inner: Inner, host: str) -> None:
    reply = await call(guarded(inner), headers=[("host", host)])
    assert (reply.status, reply.code) in {(400, "bad_host"), (421, "unknown_host")}
    assert inner.seen == []


async def test_a_name_that_is_missing_or_there_twice_is_refused(inner: Inner) -> None:
    assert (await call(guarded(inner), headers=[])).code == "bad_host"
    assert (await call(guarded(inner), headers=[HOST, HOST])).code == "repeated_header"
    assert (await call(guarded(inner), headers=[HOST, ("Host", "evil.example")])).code == "repeated_header"
    assert inner.seen == []


async def test_behind_every_address_the_one_that_was_reached_is_a_name_of_ours(inner: Inner) -> None:
    wide, reached = guarded(inner, host="0.0.0.0"), ("192.168.1.9", 8080)
    assert (await call(wide, headers=[("host", "192.168.1.9:8080")], server=reached)).status == 200
    assert (await call(wide, headers=[("host", "192.168.1.10:8080")], server=reached)).status == 421
    assert (await call(wide, headers=[("host", "bee.example")], server=("bee.example", 80))).status == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_loopback_needs_no_key(host: str) -> None:
    check_binding(GatewayOptions(host=host), None)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "192.168.1.9", "bee.example", "localhost.evil.example", "::ffff:7f00:1"]
)
def test_any_other_address_needs_a_live_key(keys: KeyStore, host: str) -> None:
    options = GatewayOptions(host=host)
    for store in (None, keys):
        with pytest.raises(UsageError, match="waggle key create"):
            check_binding(options, store)
    keys.create("ann")
    check_binding(options, keys)
    keys.revoke("ann")
    with pytest.raises(UsageError, match="waggle key create"):
        check_binding(options, keys)


def test_a_key_without_limits_is_a_value(keys: KeyStore) -> None:
    _, info = keys.create("ann")
    assert isinstance(info, KeyInfo)
    assert (info.requests_per_minute, info.tokens_per_minute) == (None, None)
