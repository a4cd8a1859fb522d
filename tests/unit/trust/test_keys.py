"""Node keys: ids in one spelling only, files nobody else may read, signatures that cannot be forged."""

from importlib import import_module

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waggle.core.errors import RemoteProtocolError, UsageError
from waggle.core.ids import NodeId
from waggle.trust import base58, curve
from waggle.trust.keys import NodeKey, is_node_id, node_id_of, public_key_of, verify

relaxed = settings(deadline=None)

SEED = bytes(range(32))
imports_hivemind = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")


@pytest.fixture(scope="module")
def key() -> NodeKey:
    return NodeKey.from_seed(SEED)


# --- ids ------------------------------------------------------------------------------------------------------------


@imports_hivemind
def test_an_id_is_the_peer_id_that_hivemind_computes(key: NodeKey) -> None:
    PeerID = import_module("hivemind.p2p.p2p_daemon_bindings.datastructures").PeerID
    crypto = import_module("hivemind.proto.crypto_pb2")
    raw = public_key_of(key.node_id).public_bytes_raw()
    encoded = crypto.PublicKey(key_type=crypto.Ed25519, data=raw).SerializeToString()
    peer = PeerID(b"\x00" + bytes([len(encoded)]) + encoded)  # the multihash called identity
    assert peer.to_base58() == key.node_id
    assert PeerID.from_base58(key.node_id) == peer


def test_a_generated_key_has_an_id_of_its_own() -> None:
    ids = {NodeKey.generate().node_id for _ in range(20)}
    assert len(ids) == 20
    assert all(len(node_id) == 52 and node_id.startswith("12D3Koo") and is_node_id(node_id) for node_id in ids)


def test_a_seed_of_another_length_is_refused() -> None:
    with pytest.raises(UsageError, match="32 bytes"):
        NodeKey.from_seed(b"short")


def test_a_private_key_is_never_printed(key: NodeKey) -> None:
    assert SEED.hex() not in repr(key)
    assert repr(key) == "NodeKey()"


@given(st.binary(min_size=32, max_size=32))
@relaxed
def test_every_fit_key_survives_its_id(raw: bytes) -> None:
    node_id = node_id_of(raw)
    assert len(node_id) == 52
    if curve.is_sound(raw):
        assert public_key_of(node_id).public_bytes_raw() == raw
    else:
        assert not is_node_id(node_id)


def other_spellings(node_id: str) -> dict[str, str]:
    raw = base58.decode(node_id)
    assert raw is not None
    public = raw[6:]
    return {
        "empty": "",
        "a leading one": "1" + node_id,
        "a missing leading one": node_id[1:],
        "two ones for one": "1" + node_id[:-1],
        "a space": node_id + " ",
        "a line break": node_id + "\n",
        "cut": node_id[:-1],
        "not base58": node_id[:-1] + "0",
        "digits of another script": node_id[:-1] + "٣",
        "a lone surrogate": node_id[:-1] + "\ud800",
        "a SHA-256 multihash": base58.encode(b"\x12\x20" + public),
        "a long varint of the hash": base58.encode(b"\x80\x00\x24" + raw[2:]),
        "a long varint of the type": base58.encode(b"\x00\x25\x08\x81\x00\x12\x20" + public),
        "an RSA key": base58.encode(b"\x00\x24\x08\x00\x12\x20" + public),
        "fields in another order": base58.encode(b"\x00\x24\x12\x20" + public + b"\x08\x01"),
        "another length": base58.encode(b"\x00\x23" + raw[2:-1]),
        "a CID": "bafzaajaiaejca" + node_id[:38],
        "very long": node_id * 100_000,
    }


@pytest.mark.parametrize("which", list(other_spellings(NodeKey.from_seed(SEED).node_id)))
def test_another_spelling_of_an_id_is_refused(key: NodeKey, which: str) -> None:
    text = other_spellings(key.node_id)[which]
    assert not is_node_id(text)
    with pytest.raises(RemoteProtocolError) as caught:
        public_key_of(NodeId(text))
    assert len(str(caught.value)) < 100
    assert not verify(NodeId(text), key.sign(b"data"), b"data")


# --- signatures -----------------------------------------------------------------------------------------------------


def test_a_signature_holds_for_its_data_and_its_signer_only(key: NodeKey) -> None:
    signature = key.sign(b"data")
    assert verify(key.node_id, signature, b"data")
    assert not verify(key.node_id, signature, b"datb")
    assert not verify(NodeKey.from_seed(bytes(32)).node_id, signature, b"data")


@pytest.mark.parametrize("length", [0, 1, 63, 65, 100_000])
def test_a_signature_of_another_length_is_refused(key: NodeKey, length: int) -> None:
    assert not verify(key.node_id, bytes(length), b"data")


def test_every_bit_of_a_signature_counts(key: NodeKey) -> None:
    signature = key.sign(b"data")
    for bit in range(512):
        flipped = bytearray(signature)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not verify(key.node_id, bytes(flipped), b"data")


def test_a_signature_written_in_a_second_way_is_refused(key: NodeKey) -> None:
    order = 2**252 + 27742317777372353535851937790883648493
    signature = key.sign(b"data")
    second = int.from_bytes(signature[32:], "little") + order
    assert not verify(key.node_id, signature[:32] + second.to_bytes(32, "little"), b"data")


@given(st.text(max_size=60), st.binary(max_size=70), st.binary(max_size=10))
@relaxed
def test_nothing_a_stranger_sends_makes_verify_raise(node_id: str, signature: bytes, data: bytes) -> None:
    assert not verify(NodeId(node_id), signature, data)


def small_order_keys() -> list[bytes]:
    """The points of small order with either sign, and their spellings beyond the field."""
    ys = [y + shift for y in curve.SMALL_ORDER for shift in (0, curve.P) if y + shift < 2**255]
    return [(y | sign << 255).to_bytes(32, "little") for y in ys for sign in (0, 1)]


def test_the_list_of_small_order_is_what_the_curve_says() -> None:
    """Doubling takes y to (y^2 + x^2) / (2 + x^2 - y^2), x^2 from the curve; eight times anything listed is y = 1."""
    for y in curve.SMALL_ORDER:
        for _ in range(3):
            x2 = (y * y - 1) * pow(curve.D * y * y + 1, -1, curve.P)
            y = (y * y + x2) * pow(2 + x2 - y * y, -1, curve.P) % curve.P
        assert y == 1
    assert len(curve.SMALL_ORDER) == 5


@pytest.mark.parametrize("raw", small_order_keys(), ids=bytes.hex)
def test_a_key_under_which_everybody_can_sign_is_refused(raw: bytes) -> None:
    forged = (1).to_bytes(32, "little") + bytes(32)  # R = the neutral point, s = 0
    assert not is_node_id(node_id_of(raw))
    assert not any(verify(node_id_of(raw), forged, bytes([number])) for number in range(64))


def test_a_key_that_is_no_point_of_the_curve_is_refused() -> None:
    assert not curve.is_sound((2).to_bytes(32, "little"))
    assert sum(curve.is_sound(bytes([number]) + bytes(31)) for number in range(256)) in range(90, 166)


def test_a_coordinate_beyond_the_field_is_refused() -> None:
    sound = next(y for y in range(2, 19) if curve.is_sound(y.to_bytes(32, "little")))
    assert not curve.is_sound((sound + curve.P).to_bytes(32, "little"))


def test_the_keys_remembered_are_bounded() -> None:
    assert public_key_of.cache_info().maxsize == 8_192
