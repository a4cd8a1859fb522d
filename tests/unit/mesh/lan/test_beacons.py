"""Beacons on the local network: sealed, opened, refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.mesh.adverts.making import TODAY, make_key
from waggle.core.errors import RemoteProtocolError
from waggle.mesh.addresses import Scope
from waggle.mesh.lan.beacons import MAX_BEACON_BYTES, Beacon, open_beacon, seal_beacon

KEY = make_key(1)
ADDRESSES = tuple(f"/ip4/{host}/tcp/4001/p2p/{KEY.node_id}" for host in ("127.0.0.1", "192.168.1.5", "169.254.169.254"))


def make_beacon(date: float = TODAY) -> Beacon:
    return Beacon("waggle", KEY.node_id, date, ADDRESSES, True)


def test_a_beacon_reads_back_with_the_addresses_fit_for_the_way_it_came() -> None:
    data = seal_beacon(KEY, make_beacon())
    assert open_beacon(data, nearest=Scope.PRIVATE, wall=TODAY).addresses == ADDRESSES[1:2]
    assert open_beacon(data, nearest=Scope.LOOPBACK, wall=TODAY).addresses == ADDRESSES[:2]


def test_forged_old_and_mangled_beacons_are_refused() -> None:
    good = seal_beacon(KEY, make_beacon())
    forged = seal_beacon(make_key(2), make_beacon())
    flipped = good[:40] + bytes([good[40] ^ 1]) + good[41:]
    for data in (forged, flipped, good[:-1], good + b"x", b"", bytes(10_000)):
        with pytest.raises(RemoteProtocolError):
            open_beacon(data, nearest=Scope.PRIVATE, wall=TODAY)
    for off in (-700.0, 700.0):
        with pytest.raises(RemoteProtocolError):
            open_beacon(good, nearest=Scope.PRIVATE, wall=TODAY + off)


def test_a_beacon_fits_into_one_packet_however_many_addresses_there_are() -> None:
    many = tuple(f"/ip6/2a00:1111:2222:3333:4444:5555:6666:{n:x}/tcp/4001/p2p/{KEY.node_id}" for n in range(8))
    beacon = Beacon("n" * 64, KEY.node_id, TODAY, many, False)
    data = seal_beacon(KEY, beacon)
    assert len(data) <= MAX_BEACON_BYTES
    assert len(open_beacon(data, nearest=Scope.PRIVATE, wall=TODAY).addresses) >= 6


@given(st.binary(max_size=1_300))
def test_any_bytes_are_refused_quietly(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        open_beacon(data, nearest=Scope.PRIVATE, wall=TODAY)
