"""What may go wrong with one request to the fake OpenAI-compatible server, and the bytes that then go out."""

from enum import StrEnum

OVERSIZE_CHUNK = b"data: " + b" " * 2**16 + b"\n"


class Fault(StrEnum):
    """What may happen to one request instead of an answer."""

    TOO_MANY = "429 with Retry-After"
    SERVER_ERROR = "500 with a secret in its body"
    BAD_REQUEST = "400 with a secret in its body"
    UNAUTHORIZED = "401"
    REDIRECT = "307 to another path of this server"
    HANG = "the request is read and never answered"
    GARBAGE = "200 with bytes that are not JSON"
    WRONG_SHAPE = "200 with JSON of another shape"
    OVERSIZE = "200 with a body that never ends"
    LONG_LINE = "200 with a line that never ends"
    DRIP = "200 with one comment after the other and no answer"
    DISCONNECT = "the connection is closed in the middle of the answer"
    MID_ERROR = "an error event in the middle of the answer"
    GZIP = "200 with a compressed body"


STATUSES: dict[Fault | None, int] = {
    Fault.TOO_MANY: 429,
    Fault.SERVER_ERROR: 500,
    Fault.BAD_REQUEST: 400,
    Fault.UNAUTHORIZED: 401,
    Fault.REDIRECT: 307,
}
BODIES: dict[Fault | None, bytes] = {
    Fault.GARBAGE: b'data: {"choices": [{"del\xff\xfe\n\n',
    Fault.WRONG_SHAPE: b'data: {"choices": "many", "data": 7}\n\n',
}
ENDLESS: dict[Fault | None, bytes] = {
    Fault.OVERSIZE: OVERSIZE_CHUNK,
    Fault.LONG_LINE: b"data: " + b"x" * 2**16,
    Fault.DRIP: b": still thinking\n\n",
}
