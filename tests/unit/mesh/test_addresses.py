"""Addresses: read strictly, and told only to whom they are fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle.core.errors import UsageError
from waggle.core.ids import NodeId
from waggle.mesh.addresses import (
    Scope,
    fit_addresses,
    in_dialling_order,
    is_peer_id,
    parse_address,
    parse_peer,
    parse_place,
    scope_of_link,
)
from waggle.mesh.transport import Link
from waggle.trust import base58

ID = "12D3KooWKf4yP7PoXHHJvdjACodu41nHS8U6UdMHdyYy8fEdJia5"
RELAY = "12D3KooWFuHd7CNH4vZZkCyc8vTx8RVFFGLt2TxCPFdeMtHR3Eqo"


@pytest.mark.parametrize(
    ("start", "scope"),
    [
        ("/ip4/127.0.0.1/tcp/4001", Scope.LOOPBACK),
        ("/ip6/::1/tcp/4001", Scope.LOOPBACK),
        ("/memory/a", Scope.LOOPBACK),
        ("/ip4/10.1.2.3/udp/4001/quic-v1", Scope.PRIVATE),
        ("/ip4/100.64.0.1/tcp/1", Scope.PRIVATE),
        ("/ip6/fd00::1/tcp/4001", Scope.PRIVATE),
        ("/ip4/5.77.0.1/tcp/65535", Scope.PUBLIC),
        ("/ip6/2a00::1/tcp/4001/ws", Scope.PUBLIC),
        ("/dns4/example.org/tcp/4001", Scope.PUBLIC),
        (f"/ip4/192.168.0.9/tcp/4/p2p/{RELAY}/p2p-circuit", Scope.PRIVATE),
    ],
)
def test_an_address_has_the_scope_of_its_host(start: str, scope: Scope) -> None:
    address = parse_address(f"{start}/p2p/{ID}")
    assert (address.peer, address.scope) == (ID, scope)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "//",
        "/" * 250,
        "\0",
        "hello",
        f"ip4/5.5.5.5/tcp/4/p2p/{ID}",
        "/ip4",
        "/ip4/",
        "/ip4/5.5.5.5",
        "/ip4/5.5.5.5/tcp",
        "/ip4/127.0.0.1/tcp/4001",
        "/ip4/5.5.5.5/tcp/4/p2p",
        "/ip4/5.5.5.5/tcp/4/p2p/",
        "/ip4/5.5.5.5/tcp/4/p2p/notanid",
        f"/ip4/5.5.5.5/tcp/4/p2p/{'1' * 52}",
        f"/ip4/5.5.5.5/tcp/4/p2p/{ID}0",
        f"/ip4/5.5.5.5/tcp/4/p2p/{ID}/",
        f"/ip4/5.5.5.5/tcp/4/p2p/{ID}\n",
        f"/ip4/5.5.5.5/tcp/4/p2p/{ID}/p2p-circuit",
        f"/ip4/5.5.5.5/tcp/4/p2p/notanid/p2p-circuit/p2p/{ID}",
        f"/p2p-circuit/p2p/{ID}",
        f"/tcp/4/ip4/5.5.5.5/p2p/{ID}",
        f"/ip4/5.5.5.5/tcp/-1/p2p/{ID}",
        f"/ip4/5.5.5.5/tcp/04001/p2p/{ID}",
        f"/ip4/5.5.5.5/tcp/{'9' * 100}/p2p/{ID}",
        f"/ip4/5.5.5/tcp/4/p2p/{ID}",
        f"/ip4/05.5.5.5/tcp/4/p2p/{ID}",
        f"/ip6/fe80::1%eth0/tcp/4/p2p/{ID}",
        f"/ip4/127.0.0.1/tcp/0/p2p/{ID}",
        f"/ip4/127.0.0.1/tcp/65536/p2p/{ID}",
        f"/ip4/127.0.0.1/tcp/4 /p2p/{ID}",
        f"/ip4/127.0.0.1/tcp/٤/p2p/{ID}",
        f"/ip4/0.0.0.0/tcp/4/p2p/{ID}",
        f"/ip4/0.1.2.3/tcp/4/p2p/{ID}",
        f"/ip4/169.254.169.254/tcp/80/p2p/{ID}",
        f"/ip4/224.0.0.1/tcp/80/p2p/{ID}",
        f"/ip4/255.255.255.255/tcp/80/p2p/{ID}",
        f"/ip4/2130706433/tcp/80/p2p/{ID}",
        f"/ip4/0x7f.1/tcp/80/p2p/{ID}",
        f"/ip4/127.1/tcp/80/p2p/{ID}",
        f"/ip4/::1/tcp/80/p2p/{ID}",
        f"/ip6/127.0.0.1/tcp/80/p2p/{ID}",
        f"/ip6/fe80::1/tcp/80/p2p/{ID}",
        f"/ip6/::ffff:127.0.0.1/tcp/80/p2p/{ID}",
        f"/ip6/::ffff:169.254.169.254/tcp/80/p2p/{ID}",
        f"/ip6/64:ff9b::7f00:1/tcp/80/p2p/{ID}",
        f"/ip6/2002:7f00:1::/tcp/80/p2p/{ID}",
        f"/ip6/::7f00:1/tcp/80/p2p/{ID}",
        f"/ip4/5.5.5.5/udp/80/p2p/{ID}",
        f"/ip4/5.5.5.5/tcp/80/p2p/{ID}/p2p/{ID}",
        f"/ip4/5.5.5.5/tcp/80/p2p/{ID}/extra",
        f"/ip4/5.5.5.5/tcp/80/p2p/{ID}?x=1",
        f"/unix/tmp/p2p/{ID}",
        f"/ip4/5.5.5.5/tcp/80//p2p/{ID}",
        f"/dns4/{'a' * 64}/tcp/80/p2p/{ID}",
        f"/dns4/-bad/tcp/80/p2p/{ID}",
        f"/dns4/a..b/tcp/80/p2p/{ID}",
        f"/dns4/ünï/tcp/80/p2p/{ID}",
        f"/dns4/{'a.' * 130}b/tcp/80/p2p/{ID}",
        f"/memory/a b/p2p/{ID}",
        "/memory/a/p2p/b/p2p/c",
    ],
)
def test_nonsense_and_addresses_nobody_should_dial_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_address(text)
    with pytest.raises(UsageError):
        parse_peer(text)


@pytest.mark.parametrize("end", ["", f"/p2p/{ID}"])
@pytest.mark.parametrize(
    "text", ["/ip4/0.0.0.0/tcp/0", "/ip6/::/udp/4001/quic-v1", "/dns4/a.example.org/tcp/443/tls/ws"]
)
def test_a_place_to_listen_at_may_be_anywhere_and_have_any_port(text: str, end: str) -> None:
    assert str(parse_place(text + end)) == text


def test_an_address_inside_a_process_is_none_for_libp2p() -> None:
    assert parse_address("/memory/a/p2p/any-word").peer == "any-word"
    for parse in (parse_peer, parse_place):
        with pytest.raises(UsageError, match="'memory' is no kind of address"):
            parse("/memory/a/p2p/any-word")


PIECES = (
    ["/ip4/5.5.5.5", "/ip6/::1", "/ip6/0:0::1", "/dns/a.b", "/memory/a", "/ip4/5.5.5.05", "/x", ""],
    ["/tcp/1", "/tcp/1/tls/wss", "/tcp/01", "/tcp/0", "/udp/1", "/udp/65535/quic-v1", ""],
    [f"/p2p/{ID}", f"/p2p/{RELAY}/p2p-circuit/p2p/{ID}", f"/p2p-circuit/p2p/{ID}", f"/p2p/{ID[1:]}", ""],
)


@given(st.text(max_size=60) | st.tuples(*map(st.sampled_from, PIECES)).map("".join))
def test_any_text_is_an_address_in_its_one_spelling_or_a_usage_error(text: str) -> None:
    try:
        address = parse_address(text)
    except UsageError:
        return
    assert address.text == f"{address.place}/p2p/{address.peer}" == text


@given(st.binary(max_size=50))
def test_a_peer_id_is_one_only_as_a_multihash(data: bytes) -> None:
    sound = data[:1] in (b"\x00", b"\x12") and 3 <= len(data) <= 42 and data[1] == len(data) - 2
    assert is_peer_id(base58.encode(data)) == (sound and (data[0] == 0 or data[1] == 32))


def test_only_addresses_of_the_author_within_the_scopes_are_fit() -> None:
    loopback, private, public = (f"/ip4/{host}/tcp/4/p2p/{ID}" for host in ("127.0.0.1", "10.0.0.1", "5.5.5.5"))
    others = [f"/ip4/5.5.5.6/tcp/4/p2p/{RELAY}", f"/dns/localhost/tcp/4/p2p/{ID}", "nonsense"]
    given = [loopback, private, public, public, *others]
    assert fit_addresses(given, NodeId(ID), nearest=Scope.PUBLIC) == [public]
    assert fit_addresses(given, NodeId(ID), nearest=Scope.PRIVATE) == [private, public]
    assert fit_addresses(given, NodeId(ID), nearest=Scope.LOOPBACK, farthest=Scope.LOOPBACK) == [loopback]


def test_no_more_than_eight_addresses_are_taken() -> None:
    many = [f"/ip4/5.5.5.5/tcp/{port}/p2p/{ID}" for port in range(1, 100)]
    assert len(fit_addresses(many, NodeId(ID), nearest=Scope.PUBLIC)) == 8


def test_a_link_is_as_near_as_its_nearest_address_and_public_where_in_doubt() -> None:
    def link(*addresses: str, relayed: bool = False) -> Link:
        return Link(peer=NodeId(ID), addresses=addresses, relayed=relayed)

    assert scope_of_link(None) is Scope.PUBLIC
    assert scope_of_link(link()) is Scope.PUBLIC
    assert scope_of_link(link("what is this")) is Scope.PUBLIC
    assert scope_of_link(link("/ip4/127.0.0.1/tcp/9")) is Scope.LOOPBACK
    assert scope_of_link(link("/ip4/5.5.5.5/tcp/9", f"/ip4/10.0.0.1/tcp/9/p2p/{ID}")) is Scope.PRIVATE
    assert scope_of_link(link("/ip4/127.0.0.1/tcp/9", relayed=True)) is Scope.PUBLIC
    assert scope_of_link(link(f"/ip4/127.0.0.1/tcp/9/p2p/{RELAY}/p2p-circuit/p2p/{ID}")) is Scope.PUBLIC
    assert scope_of_link(link("/dns4/localhost/tcp/9")) is Scope.PUBLIC


def test_near_addresses_are_dialled_first_and_relayed_ones_last() -> None:
    relayed = f"/ip4/127.0.0.1/tcp/4/p2p/{RELAY}/p2p-circuit/p2p/{ID}"
    public, loopback = f"/ip4/5.5.5.5/tcp/4/p2p/{ID}", f"/ip4/127.0.0.1/tcp/4/p2p/{ID}"
    assert in_dialling_order([relayed, public, loopback]) == [loopback, public, relayed]
