"""Addresses in their binary form: what we write the daemon reads, what we cannot read is refused."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle.mesh.addresses import parse_place
from waggle.mesh.libp2p.p2pd.packed_addresses import pack, unpack
from waggle.trust.keys import NodeKey

RELAY = NodeKey.from_seed(bytes([1]) * 32).node_id
SHA_RELAY = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"


@pytest.mark.parametrize(
    "text",
    [
        "/ip4/127.0.0.1/tcp/4001",
        "/ip4/0.0.0.0/udp/65535/quic-v1",
        "/ip6/::1/tcp/0",
        "/ip6/2001:db8::7/udp/1/quic",
        "/dns4/node.example.org/tcp/443/tls/wss",
        f"/ip4/192.0.2.7/tcp/4001/p2p/{RELAY}/p2p-circuit",
        f"/ip4/192.0.2.7/tcp/4001/p2p/{SHA_RELAY}/p2p-circuit",
    ],
)
def test_an_address_survives_its_binary_form(text: str) -> None:
    assert unpack(pack(parse_place(f"{text}/p2p/{RELAY}" if "circuit" in text else text))) == text


def test_the_binary_form_is_that_of_the_specification() -> None:
    assert pack(parse_place("/ip4/127.0.0.1/tcp/4001")).hex() == "047f000001060fa1"
    assert pack(parse_place("/ip4/127.0.0.1/udp/1234/quic-v1")).hex() == "047f000001910204d2cd03"


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    text = unpack(data)
    assert text is None or (text.isascii() and text.isprintable() and " " not in text)


@given(st.ip_addresses(v=6))
def test_every_ip6_address_keeps_its_meaning(ip: ipaddress.IPv6Address) -> None:
    assert unpack(pack(parse_place(f"/ip6/{ip}/tcp/1"))) == f"/ip6/{ip}/tcp/1"
