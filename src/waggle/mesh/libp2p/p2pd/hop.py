"""The messages by which a node gets a place at a relay: the hop protocol of libp2p's circuit relays, version 2. Pure.

The daemon asks for places too, but only at relays that it was told of at its start. Asking ourselves costs one short
stream to a relay that we are linked to, and no restart. What a relay answers is a stranger's word: anything that does
not parse is a `ValueError`. Only the fields needed here are read: the status (5), and of the limit (4) the bytes that
one relayed link may carry (2).
"""

from collections.abc import Iterator

from msgspec import Struct

from waggle.mesh.libp2p.p2pd.delimited import read_varint
from waggle.mesh.limits import KIB

PROTOCOL = "/libp2p/circuit/relay/0.2.0/hop"
MAX_ANSWER_BYTES = 4 * KIB
"""About 250 bytes are usual: most of them addresses and a voucher."""

PLEASE_RESERVE = b"\x08\x00"
"""Type (1): reserve (0)."""

STATUS_TYPE, OK = 2, 100
WHY = {
    200: "it has no place left for us",
    201: "it has no resources left",
    202: "it gives us no place",
    400: "it did not understand us",
}


class PlaceAnswer(Struct, frozen=True):
    """What a relay says: `refusal` in words, empty where it holds a place for us."""

    refusal: str
    max_bytes: int = 0
    """What one relayed link may carry in all; 0 for no limit."""


def read_answer(data: bytes) -> PlaceAnswer:
    """Raises ValueError for bytes that answer no reservation."""
    if len(data) > MAX_ANSWER_BYTES:
        raise ValueError("an answer too long to be read")
    fields = dict(_fields(data))
    status = fields.get(5)
    if fields.get(1) != STATUS_TYPE or not isinstance(status, int):
        raise ValueError("an answer without a status")
    if status != OK:
        return PlaceAnswer(WHY.get(status, f"it answers with status {status}"))
    limit = fields.get(4, b"")
    if not isinstance(limit, bytes):
        raise ValueError("an answer whose limit is no message")
    most = dict(_fields(limit)).get(2, 0)
    if not isinstance(most, int):
        raise ValueError("an answer whose limit is no number")
    return PlaceAnswer("", most)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a protobuf message; only numbers and byte strings are known here."""
    while data:
        tag, data = read_varint(data)
        match tag & 7:
            case 0:
                value, data = read_varint(data)
                yield tag >> 3, value
            case 2:
                length, data = read_varint(data)
                if length > len(data):
                    raise ValueError("an answer that ends in the middle")
                yield tag >> 3, data[:length]
                data = data[length:]
            case _:
                raise ValueError("an answer of unknown form")
