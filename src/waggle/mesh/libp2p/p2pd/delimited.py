"""Messages of the daemon one after the other on a socket: each its length as a varint, then its bytes. No I/O."""

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
"""Twice what the daemon lets a call carry; anything longer is no message of its."""

MAX_LENGTH_BYTES = 5


def delimit(message: bytes) -> bytes:
    """The message with its length before it."""
    return length_prefix(len(message)) + message


def length_prefix(length: int) -> bytes:
    """A length as seven bits a byte, lowest first: 300 is ac 02."""
    digits = bytearray()
    while length > 0x7F:
        digits.append(length & 0x7F | 0x80)
        length >>= 7
    digits.append(length)
    return bytes(digits)


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
        header, length = self._length()
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

    def _length(self) -> tuple[int, int]:
        """How many bytes the length takes, and the length; (0, 0) while it is incomplete."""
        length = 0
        for index, byte in enumerate(self._buffer[:MAX_LENGTH_BYTES]):
            length |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if length > MAX_MESSAGE_BYTES:
                    raise ValueError(f"a message of {length} bytes")
                return index + 1, length
        if len(self._buffer) >= MAX_LENGTH_BYTES:
            raise ValueError("a length of more than 35 bits")
        return 0, 0
