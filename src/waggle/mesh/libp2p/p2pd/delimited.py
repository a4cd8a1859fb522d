"""Numbers as varints, and messages one after the other, each with its length as a varint before it. No I/O."""

from waggle.mesh.limits import MIB

MAX_MESSAGE_BYTES = 8 * MIB
"""Twice what the daemon lets a call carry; anything longer is no message of its."""

MAX_LENGTH_BYTES = 5
MAX_VARINT_BYTES = 10
"""A number of 64 bits."""


def varint(number: int) -> bytes:
    """A number as seven bits a byte, lowest first: 300 is ac 02."""
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def read_varint(data: bytes) -> tuple[int, bytes]:
    """The number that some bytes begin with, and the rest. Raises ValueError where it does not end."""
    number, size = _first_varint(data, MAX_VARINT_BYTES)
    if not size:
        raise ValueError("a number that ends too early")
    return number, data[size:]


def _first_varint(data: bytes | bytearray, most_bytes: int) -> tuple[int, int]:
    """A number and how many bytes it takes; (0, 0) while it is incomplete. Raises ValueError beyond `most_bytes`."""
    number = 0
    for index, byte in enumerate(data[:most_bytes]):
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number, index + 1
    if len(data) >= most_bytes:
        raise ValueError(f"a number of more than {7 * most_bytes} bits")
    return 0, 0


def delimit(message: bytes) -> bytes:
    """The message with its length before it."""
    return varint(len(message)) + message


class DelimitedBuffer:
    """Bytes in, whole messages out; holds no more than has arrived."""

    def __init__(self) -> None:
        """Empty."""
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> None:
        """Add what arrived."""
        self._buffer += data

    def take(self) -> bytes | None:
        """The next whole message; None while it is incomplete. Raises ValueError for an impossible length."""
        length, header = _first_varint(self._buffer, MAX_LENGTH_BYTES)
        if length > MAX_MESSAGE_BYTES:
            raise ValueError(f"a message of {length} bytes")
        if header == 0 or len(self._buffer) < header + length:
            return None
        with memoryview(self._buffer) as view:
            message = bytes(view[header : header + length])
        del self._buffer[: header + length]
        return message

    def take_rest(self) -> bytes:
        """Whatever is left; the buffer is empty then."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest
