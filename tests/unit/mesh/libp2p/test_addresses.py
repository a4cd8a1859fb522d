"""Addresses: every text accepted means one thing, everything else is a UsageError and nothing worse."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle.core.errors import UsageError
from waggle.mesh.libp2p import addresses
from waggle.trust import base58
from waggle.trust.keys import NodeKey

PEER = NodeKey.from_seed(bytes(32)).node_id
RELAY = NodeKey.from_seed(bytes([1]) * 32).node_id
SHA_PEER = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"

GOOD = [
    f"/ip4/127.0.0.1/tcp/4001/p2p/{PEER}",
    f"/ip4/0.0.0.0/udp/65535/quic-v1/p2p/{PEER}",
    f"/ip6/::1/tcp/0/p2p/{SHA_PEER}",
    f"/ip6/2001:db8::7/udp/1/quic-v1/p2p/{PEER}",
    f"/dns4/node.example.org/tcp/443/wss/p2p/{PEER}",
    f"/ip4/192.0.2.7/tcp/4001/p2p/{RELAY}/p2p-circuit/p2p/{PEER}",
]
NONSENSE = [
    "", "/", "//", "nonsense", "/ip4", "/ip4/", "/ip4/1.2.3.4", "/ip4/1.2.3.4/tcp", "/ip4/1.2.3/tcp/1",
    "/ip4/01.2.3.4/tcp/1",
    "/ip4/1.2.3.4/tcp/65536", "/ip4/1.2.3.4/tcp/-1", "/ip4/1.2.3.4/tcp/01", "/ip4/1.2.3.4/tcp/١", "/ip4/::1/tcp/1",
    "/ip6/1.2.3.4/tcp/1", "/ip6/fe80::1%eth0/tcp/1", "/tcp/1/ip4/1.2.3.4", "/unix/tmp/x.sock", "/ip4/1.2.3.4/tcp/1/",
    "/ip4/1.2.3.4/tcp/1/p2p/", "/ip4/1.2.3.4/tcp/1/p2p/Qm", "/ip4/1.2.3.4/tcp/1/p2p/" + "1" * 52, "ip4/1.2.3.4/tcp/1",
    "/dns4/-bad/tcp/1", "/dns4/a..b/tcp/1", "/dns4/" + "a." * 130 + "b/tcp/1",
    "/dns4/ünï/tcp/1", "/ip4/1.2.3.4/tcp/1\n",
    f"/ip4/1.2.3.4/tcp/1/p2p/{PEER}/p2p-circuit", f"/p2p-circuit/p2p/{PEER}", f"/ip4/1.2.3.4/tcp/1/p2p/{PEER}0",
    "/ip4/1.2.3.4/tcp/" + "9" * 5000, "/" * 300, "\0", "/ip4/1.2.3.4/udp/1",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_an_address_survives_its_binary_form(text: str) -> None:
    address = addresses.parse_peer(text)
    assert str(address) == text
    assert addresses.render(address.encode()) == text
    assert address.relayed == ("p2p-circuit" in text)
    assert str(address.transport_part) == text.rpartition("/p2p/")[0]


def test_the_binary_form_is_that_of_the_specification() -> None:
    assert addresses.parse("/ip4/127.0.0.1/tcp/4001").encode().hex() == "047f000001060fa1"
    assert addresses.parse("/ip4/127.0.0.1/udp/1234/quic-v1").encode().hex() == "047f000001910204d2cd03"


@pytest.mark.parametrize("text", NONSENSE)
def test_nonsense_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        addresses.parse_peer(text)


@given(st.text(max_size=60) | st.lists(st.sampled_from([*addresses.CODES, "1.2.3.4", "1", PEER, ""])).map("/".join))
def test_any_text_is_an_address_or_a_usage_error(text: str) -> None:
    try:
        address = addresses.parse(text)
    except UsageError:
        return
    assert str(address) == text
    assert addresses.render(address.encode()) == text


@given(st.binary(max_size=80))
def test_any_bytes_are_rendered_or_refused(data: bytes) -> None:
    text = addresses.render(data)
    assert text is None or text == "" or text.startswith("/")


@given(st.ip_addresses(v=6))
def test_every_ip6_address_keeps_its_meaning(ip: ipaddress.IPv6Address) -> None:
    rendered = addresses.render(addresses.parse(f"/ip6/{ip}/tcp/1").encode())
    assert rendered == f"/ip6/{ip}/tcp/1"


@given(st.binary(max_size=50))
def test_a_peer_id_is_one_only_as_a_multihash(data: bytes) -> None:
    text = base58.encode(data)
    assert not addresses.is_peer_id(text) or (data[0] in (0x00, 0x12) and data[1] == len(data) - 2)
