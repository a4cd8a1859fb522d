"""Turns messages into signed envelopes and back; the only door through which a peer's bytes become values.

An envelope is a MessagePack array: version, kind, round, sender, sequence number, body, signature. The body is the
message as a MessagePack map with its kind under "type". The signature is Ed25519 over

    b"waggle/2/"  len(kind) kind  len(round) round  len(sender) sender  seq  len(body) body

with lengths as 4 and seq as 8 bytes, big-endian, and text as UTF-8: no two envelopes give the same signed bytes.
A sender numbers its envelopes 0, 1, 2... on every stream, so that one sent again or in another order is refused.

Checks go from cheap to dear: size, shape, fields, signature, body. What we seal has passed every check that the other
side makes. Refusals name the sender and the fault, never the content.
"""

import re
from typing import Annotated, get_args

from msgspec import Meta, Struct
from msgspec.msgpack import Decoder

from waggle.core.bounds import Id
from waggle.core.errors import LocalProtocolError, RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.mesh.limits import MAX_FRAME_BYTES
from waggle.mesh.message_bounds import fault_of
from waggle.mesh.messages import Message
from waggle.mesh.packing import decode_as, decode_with, encode
from waggle.trust.keys import ID_CHARACTERS, SIGNATURE_BYTES, NodeKey, verify

__all__ = [
    "DOMAIN",
    "KINDS",
    "VERSION",
    "Envelope",
    "decode_as",
    "encode",
    "open_envelope",
    "seal",
    "signed_bytes",
    "unseal",
]

VERSION = 2
DOMAIN = b"waggle/2/"
"""What every signed envelope begins with; signatures of other things begin otherwise."""


class Envelope(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, array_like=True):
    """A signed message as it travels. `seq` counts what the sender has sent on this stream, from 0."""

    version: int
    kind: Annotated[str, Meta(max_length=64)]
    round: Id
    sender: Annotated[NodeId, Meta(min_length=ID_CHARACTERS, max_length=ID_CHARACTERS)]
    seq: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    body: bytes
    signature: Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]


KINDS: dict[str, type[Struct]] = {str(kind.__struct_config__.tag): kind for kind in get_args(Message)}
"""The type of every kind of message, by its tag."""

ENVELOPE_ITEMS = 1 + len(Envelope.__struct_fields__)
_ROUND_ID = re.compile("[0-9a-f]{32}")
_envelopes = Decoder(Envelope)
_messages: Decoder[Message] = Decoder(Message)


def seal(key: NodeKey, message: Message, *, round_id: str, seq: int) -> bytes:
    """Sign a message as number `seq` of what we send on one stream; gives the frame.

    Raises:
        LocalProtocolError: the message breaks a rule that every receiver checks; nothing is signed.
    """
    if not _ROUND_ID.fullmatch(round_id) or seq < 0:
        raise LocalProtocolError("our own envelope has no round or no number")
    kind = str(message.__struct_config__.tag)
    body = encode(message, MAX_FRAME_BYTES)
    try:
        _read_body(body, kind, f"our own {kind}")
    except RemoteProtocolError as error:
        raise LocalProtocolError(str(error)) from None
    envelope = Envelope(
        version=VERSION,
        kind=kind,
        round=round_id,
        sender=key.node_id,
        seq=seq,
        body=body,
        signature=key.sign(signed_bytes(kind, round_id, key.node_id, seq, body)),
    )
    return encode(envelope, MAX_FRAME_BYTES)


def signed_bytes(kind: str, round_id: str, sender: NodeId, seq: int, body: bytes) -> bytes:
    """What is signed, as the module says."""
    parts = (kind.encode(), round_id.encode(), sender.encode())
    head = b"".join(len(part).to_bytes(4) + part for part in parts)
    return b"".join((DOMAIN, head, seq.to_bytes(8), len(body).to_bytes(4), body))


def unseal(frame: bytes, *, sender: NodeId, round_id: str, seq: int) -> Message:
    """Check a frame that came from an authenticated peer and give the message inside.

    Args:
        frame: whatever came.
        sender: the peer, who must have signed it.
        round_id: the round it must belong to.
        seq: the number it must have on this stream.

    Raises:
        RemoteProtocolError: any rule is broken.
    """
    envelope = open_envelope(frame, sender=sender)
    if fault := _fault(envelope, sender, round_id, seq):
        raise RemoteProtocolError(f"{sender}: {fault}")
    return _read_body(envelope.body, envelope.kind, sender)


def _read_body(body: bytes, kind: str, sender: str) -> Message:
    """The message of a kind that we know; `sender` is blamed for what is wrong with it."""
    message = decode_with(_messages, body, MAX_FRAME_BYTES, sender=sender)
    if type(message) is not KINDS[kind]:
        raise RemoteProtocolError(f"{sender}: the message is not of the kind that its envelope says")
    if fault := fault_of(message):
        raise RemoteProtocolError(f"{sender}: {fault}")
    return message


def open_envelope(frame: bytes, *, sender: NodeId) -> Envelope:
    """Read the envelope alone: its size and form are right, nothing that it says has been checked.

    Raises:
        RemoteProtocolError: too large, or no envelope.
    """
    return decode_with(_envelopes, frame, MAX_FRAME_BYTES, sender=sender, max_depth=1, max_items=ENVELOPE_ITEMS)


def _fault(envelope: Envelope, sender: NodeId, round_id: str, seq: int) -> str | None:
    """What the envelope says that is not so; the signature, which is dear, comes last."""
    if envelope.version != VERSION:
        return f"version {envelope.version} of the protocol; we speak {VERSION}"
    if envelope.kind not in KINDS:
        return "a message of a kind that we do not know"
    if envelope.round != round_id:
        return "a message of another round"
    if envelope.sender != sender:
        return "a message that says it is from somebody else"
    if envelope.seq != seq:
        return f"message number {envelope.seq} where {seq} is due: replayed, re-ordered or lost"
    signed = signed_bytes(envelope.kind, envelope.round, sender, seq, envelope.body)
    return None if verify(sender, envelope.signature, signed) else "the signature is not right"
