"""Base58 as bitcoin and libp2p write it: a big-endian number in 58 digits, a "1" for every leading zero byte."""

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES = {digit: value for value, digit in enumerate(ALPHABET)}


def encode(data: bytes) -> str:
    """The one spelling of these bytes: `encode(b"\\x00\\x3a")` is "121". Time grows with the square of the length."""
    number = int.from_bytes(data)
    digits = []
    while number:
        number, value = divmod(number, 58)
        digits.append(ALPHABET[value])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(digits))


def decode(text: str) -> bytes | None:
    """The bytes; None for a character outside the alphabet. The caller bounds the length."""
    number = 0
    for digit in text:
        value = _VALUES.get(digit)
        if value is None:
            return None
        number = number * 58 + value
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8)
