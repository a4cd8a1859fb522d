"""Signed adverts: what is signed, and who is shown which addresses."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.mesh.adverts.making import TODAY, describe, make_key, sealed
from waggle.core.errors import LocalProtocolError, RemoteProtocolError
from waggle.core.mesh_values import ModelOffer
from waggle.mesh.addresses import Scope, parse_address
from waggle.mesh.adverts.signed import (
    DOMAIN,
    AdvertReader,
    Body,
    SignedAdvert,
    find_clock_fault,
    is_genuine,
    lifetime,
    merge_addresses,
    read_advert,
    within,
)


def resigned(**changes: Any) -> SignedAdvert:  # noqa: ANN401 - any field, any nonsense
    """A body with nonsense in it, signed by its author all the same, and written without our checks."""
    fields: dict[str, Any] = msgspec.to_builtins(describe()) | {"addresses": []} | changes
    body = msgspec.msgpack.encode([fields, b"", b""])
    return SignedAdvert(body, make_key(1).sign(DOMAIN + body))


def test_an_advert_reads_back_with_all_its_addresses() -> None:
    advert = sealed()
    assert read_advert(advert.signed) == advert
    assert is_genuine(advert)
    assert set(advert.advert.addresses) == set(describe().addresses)


@pytest.mark.parametrize(
    ("scope", "hosts"),
    [
        (Scope.LOOPBACK, {"127.0.0.1", "10.0.0.1", "5.5.5.5"}),
        (Scope.PRIVATE, {"10.0.0.1", "5.5.5.5"}),
        (Scope.PUBLIC, {"5.5.5.5"}),
    ],
)
def test_a_copy_for_a_link_holds_only_addresses_fit_for_it_and_is_genuine(scope: Scope, hosts: set[str]) -> None:
    copy = within(sealed(), scope)
    read = read_advert(copy.signed)
    assert read == copy
    assert is_genuine(read)
    assert {parse_address(text).place.host for text in read.advert.addresses} == hosts
    wire = msgspec.msgpack.encode(copy.signed)
    assert all((host.encode() in wire) == (host in hosts) for host in ("127.0.0.1", "10.0.0.1", "5.5.5.5"))


def test_an_author_cannot_pass_off_a_near_address_as_a_public_one() -> None:
    node = make_key(1).node_id
    near = [f"/ip4/{host}/tcp/80/p2p/{node}" for host in ("127.0.0.1", "169.254.169.254", "192.168.1.1")]
    read = read_advert(resigned(addresses=[*near, f"/dns4/localhost/tcp/80/p2p/{node}"]))
    assert is_genuine(read)
    assert read.advert.addresses == ()


def test_copies_with_different_lists_merge() -> None:
    whole = sealed()
    loopback_only = read_advert(replace(whole.signed, private=b""))
    private_only = within(whole, Scope.PRIVATE)
    assert merge_addresses(loopback_only, private_only) == whole


def test_addresses_that_the_author_did_not_sign_are_refused() -> None:
    ours, theirs = sealed(1).signed, sealed(2).signed
    with pytest.raises(RemoteProtocolError, match="did not sign"):
        read_advert(replace(ours, loopback=theirs.loopback))
    with pytest.raises(RemoteProtocolError, match="did not sign"):
        read_advert(replace(within(sealed(sequence=2), Scope.PUBLIC).signed, private=ours.private))


def test_a_hidden_list_cannot_be_guessed_from_its_hash() -> None:
    first, second = sealed(sequence=1), sealed(sequence=2)
    assert first.advert.addresses == second.advert.addresses
    assert first.signed.private != second.signed.private


def test_a_forged_advert_is_refused_and_not_remembered() -> None:
    reader = AdvertReader()
    real = sealed()
    forged = read_advert(replace(real.signed, signature=bytes(64)))
    other = read_advert(replace(real.signed, signature=make_key(2).sign(DOMAIN + real.signed.body)))
    undomained = read_advert(replace(real.signed, signature=make_key(1).sign(real.signed.body)))
    for _ in range(2):
        for advert in (forged, other, undomained):
            with pytest.raises(RemoteProtocolError, match="wrong signature"):
                reader.check(advert, "someone")
        reader.check(real, "someone")


def test_a_reader_remembers_only_so_many() -> None:
    reader = AdvertReader(4)
    adverts = [sealed(sequence=number) for number in range(1, 20)]
    for advert in adverts:
        assert reader.read(advert.signed, "someone") == advert
        reader.check(advert, "someone")
    assert len(reader) == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"ttl": math.nan},
        {"ttl": math.inf},
        {"ttl": -1.0},
        {"ttl": 1e18},
        {"issued_at": math.nan},
        {"issued_at": -math.inf},
        {"issued_at": -1.0},
        {"issued_at": 1e18},
        {"incarnation": -1},
        {"incarnation": 2**63},
        {"incarnation": round(TODAY * 1000) + 10_000_000},
        {"sequence": -1},
        {"sequence": 2**32},
        {"node": ""},
        {"node": "x" * 200},
        {"network": "x" * 65},
        {"version": "x" * 65},
        {"addresses": ["x"] * 25},
        {"addresses": ["x" * 257]},
        {"departed": "yes"},
        {"unknown": 1},
        {"offers": [{"model": "m", "family": "f", "context_tokens": 1, "skills": {"a": math.nan}}]},
        {"offers": [{"model": "m", "family": "f", "context_tokens": 1, "skills": {"a": 1.5}}]},
        {"offers": [{"model": "m", "family": "f", "context_tokens": 1, "tokens_per_second": math.inf}]},
        {"offers": [{"model": "m", "family": "f", "context_tokens": 1, "price": -5}]},
        {"offers": [{"model": "m", "family": "f", "context_tokens": 1}] * 17},
        {"shared": [{"name": "a", "manifest": "zz", "size": 1}]},
    ],
    ids=str,
)
def test_numbers_and_sizes_out_of_bounds_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError):
        read_advert(resigned(**changes))


def test_a_well_formed_resigned_advert_is_taken() -> None:
    assert is_genuine(read_advert(resigned()))


def test_an_oversize_advert_is_refused_by_both_sides() -> None:
    offers = tuple(
        ModelOffer(model="m" * 128, family="f" * 128, context_tokens=1, skills={f"{i:0128}": 0.5 for i in range(32)})
        for _ in range(3)
    )
    with pytest.raises(LocalProtocolError, match="bytes"):
        sealed(offers=offers)
    with pytest.raises(RemoteProtocolError, match="bytes"):
        read_advert(resigned(offers=msgspec.to_builtins(offers)))


@given(st.binary(max_size=300))
def test_any_bytes_in_place_of_a_body_are_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        read_advert(SignedAdvert(data, bytes(64)))


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_flipped_bit_never_passes(position: int, change: int) -> None:
    signed = sealed().signed
    body = bytearray(signed.body)
    body[position % len(body)] ^= change
    try:
        assert not is_genuine(read_advert(replace(signed, body=bytes(body))))
    except RemoteProtocolError:
        return


def test_the_reader_caps_the_time_to_live() -> None:
    assert lifetime(describe(ttl=30.0)) == 30.0
    assert lifetime(describe(ttl=1e7)) == 120.0


@pytest.mark.parametrize(
    ("off", "fault"), [(599.0, False), (-599.0, False), (601.0, True), (-659.0, False), (-661.0, True), (1e9, True)]
)
def test_dates_are_believed_within_ten_minutes(off: float, fault: bool) -> None:
    found = find_clock_fault(describe(issued_at=TODAY + off), TODAY)
    assert (found is not None) == fault
    assert found is None or f"{abs(off):.0f} s" in found


def test_the_body_says_nothing_of_lists_that_are_not_there() -> None:
    body = msgspec.msgpack.decode(sealed(addresses=()).signed.body, type=Body)
    assert body.loopback == body.private == b""
