"""Strict MessagePack for everything on the wire: bounded before decoding, typed while decoding, blamed on its sender.

Encoding fails with LocalProtocolError (our bug), decoding with RemoteProtocolError (their fault), both in a few words
that never quote the content.
"""

import re
from typing import TypeVar, cast

from msgspec import MsgspecError
from msgspec.msgpack import Decoder, Encoder

from waggle.core.errors import LocalProtocolError, RemoteProtocolError
from waggle.mesh.limits import MAX_ITEMS, MAX_NESTING
from waggle.mesh.nesting import find_fault

T = TypeVar("T")
_encoder = Encoder()
_decoders: dict[object, Decoder[object]] = {}
_OUR_PLACE = re.compile(r"\$[\w.\[\]]{1,80}")
"""A field's path as the decoder reports it: our own names and list positions, never a stranger's words."""

_OUR_WORDS = ("Expected ", "Object missing ")
"""How those faults begin whose text holds nothing from the message."""


def encode(value: object, most_bytes: int) -> bytes:
    """Write a frozen value as MessagePack.

    Raises:
        LocalProtocolError: too large, or it holds what no receiver takes (a number that is not finite, a lone
            surrogate, an integer beyond 64 bits).
    """
    name = type(value).__name__
    try:
        data = _encoder.encode(value)
    except (MsgspecError, ValueError, OverflowError, TypeError):
        raise LocalProtocolError(f"our own {name} cannot be written") from None
    if len(data) > most_bytes:
        raise LocalProtocolError(f"our own {name} has {len(data)} bytes; {most_bytes} are allowed")
    if fault := find_fault(data):
        raise LocalProtocolError(f"our own {name}: {fault}")
    return data


def decode_as(kind: type[T], data: bytes, most_bytes: int, *, sender: str = "the peer") -> T:
    """Read a value of one type from a peer's bytes.

    Args:
        kind: best a struct that forbids unknown fields; what its types do not bound, `most_bytes` does.
        data: whatever came.
        most_bytes: refused beyond, before anything is looked at.
        sender: begins the text of the error.

    Raises:
        RemoteProtocolError: too large, too deep, too many values, or not of this type.
    """
    return decode_with(_decoder(kind), data, most_bytes, sender=sender)


def decode_with(
    decoder: Decoder[T],
    data: bytes,
    most_bytes: int,
    *,
    sender: str,
    max_depth: int = MAX_NESTING,
    max_items: int = MAX_ITEMS,
) -> T:
    """`decode_as` with a decoder at hand, and limits of the shape that may be tighter."""
    if len(data) > most_bytes:
        raise RemoteProtocolError(f"{sender}: a message of {len(data)} bytes; {most_bytes} are allowed")
    if fault := find_fault(data, max_depth=max_depth, max_items=max_items):
        raise RemoteProtocolError(f"{sender}: {fault}")
    try:
        return decoder.decode(data)
    except (MsgspecError, ValueError) as error:
        raise RemoteProtocolError(f"{sender}: {_describe(error)}") from None


def _decoder(kind: type[T]) -> Decoder[T]:
    """The decoder of one of our types, made once: making one takes longer than most messages."""
    if kind not in _decoders:
        _decoders[kind] = Decoder(kind)
    return cast("Decoder[T]", _decoders[kind])


def _describe(error: Exception) -> str:
    """Where the fault is, in our own field names; the decoder's words would quote the message."""
    if isinstance(error, UnicodeError):
        return "a text in the message is not valid UTF-8"
    text = str(error)
    place = text.rpartition(" - at `")[2].removesuffix("`")
    where = f" at {place}" if text.startswith(_OUR_WORDS) and _OUR_PLACE.fullmatch(place) else ""
    return f"the message is not as its type demands{where}"
