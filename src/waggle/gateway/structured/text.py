"""JSON as the gateway sends it."""

import json

import msgspec

_encode = msgspec.json.Encoder().encode


def to_json(value: object) -> bytes:
    """A value as JSON in one line; not-a-number becomes null, half a character of an odd model its escape."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value)).encode()
