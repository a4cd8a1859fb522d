"""Looks at the shape of a MessagePack message before any decoder may build something from it.

Walks the headers once, without recursion and holding nothing but one count per open array or map, so that neither a
deep nest nor a declared length of four billion costs anything. Beyond shape it refuses what no message of ours holds:
extension types, numbers that are not finite, integers beyond 64 bits with sign. Text is left to the decoder.
"""

from waggle.mesh.limits import MAX_ITEMS, MAX_NESTING

_REFUSED = 0
_COUNTED = -1
_MEASURED = -2
_FLOAT = -3
_UNSIGNED = -4

_WIDTHS = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
"""Bytes of the length or count that follow the header of a long text, byte string, array or map."""


def _size_of(header: int) -> int:
    """Bytes of a value with this header; where the header does not settle them, what has to be done instead."""
    if 0xA0 <= header <= 0xBF:
        return 1 + (header & 0x1F)
    if 0x80 <= header <= 0x9F or 0xDC <= header <= 0xDF:
        return _COUNTED
    if header in _WIDTHS:
        return _MEASURED
    special = {0xCA: _FLOAT, 0xCB: _FLOAT, 0xCF: _UNSIGNED, 0xC1: _REFUSED}
    sizes = {0xCC: 2, 0xCD: 3, 0xCE: 5, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9} | special
    extensions = 0xC7 <= header <= 0xC9 or 0xD4 <= header <= 0xD8
    return _REFUSED if extensions else sizes.get(header, 1)


_SIZES = [_size_of(header) for header in range(256)]


def find_fault(data: bytes, *, max_depth: int = MAX_NESTING, max_items: int = MAX_ITEMS) -> str | None:
    """What is wrong with the shape of the one message that `data` should be, in words; None where nothing is.

    Args:
        data: bounded by the caller; a few long texts cost microseconds whatever their size.
        max_depth: arrays and maps inside each other; `[[1]]` has depth 2.
        max_items: values in all, each key and each value of a map counted; refused by their declared number.
    """
    try:
        return _walk(data, max_depth, max_items)
    except IndexError:
        return "the message ends too early"


def _walk(data: bytes, max_depth: int, max_items: int) -> str | None:
    position, items, remaining = 0, 1, 1
    outer: list[int] = []  # values still to come in every open array or map around the innermost
    while True:
        while not remaining:
            if not outer:
                return _fault_at_end(position, len(data))
            remaining = outer.pop()
        remaining -= 1
        header = data[position]
        size = _SIZES[header]
        if size > 0:
            position += size
        elif size == _COUNTED:
            count, size = _count(data, position, header)
            items += count
            if items > max_items:
                return f"the message has more than {max_items} values"
            outer.append(remaining)
            if len(outer) > max_depth:
                return f"the message is nested deeper than {max_depth}"
            position += size
            remaining = count
        elif size == _MEASURED:
            width = _WIDTHS[header]
            position += 1 + width + int.from_bytes(data[position + 1 : position + 1 + width])
        elif fault := _fault_of_number(header, data[position + 1], data[position + 2]):
            return fault
        else:
            position += 5 if header == 0xCA else 9


def _count(data: bytes, position: int, header: int) -> tuple[int, int]:
    """The values inside the array or map that starts here, and the bytes of its header. A map's keys count."""
    width = _WIDTHS.get(header, 0)
    if not width:
        return (2 * (header & 0x0F) if header < 0x90 else header & 0x0F), 1
    count = int.from_bytes(data[position + 1 : position + 1 + width])
    return (2 * count if header >= 0xDE else count), 1 + width


def _fault_of_number(header: int, first: int, second: int) -> str | None:
    """Judge a float by its exponent (all ones: not finite) and an unsigned 64-bit integer by its top bit."""
    if header == 0xCF:
        return "the message has an integer beyond 64 bits" if first & 0x80 else None
    if header not in (0xCA, 0xCB):
        return "the message has a value of a kind that is not allowed"
    infinite = first & 0x7F == 0x7F and second >= (0x80 if header == 0xCA else 0xF0)
    return "the message has a number that is not finite" if infinite else None


def _fault_at_end(position: int, length: int) -> str | None:
    """The last value must end where the data do."""
    if position > length:
        return "the message ends too early"
    return "the message is followed by other bytes" if position < length else None
