"""What a request is called, from the HTTP header to the round and its record: 32 hexadecimal digits.

A caller may name its request itself, with 32 digits or a UUID. A name that was used a while ago, by whomever, is not
taken again: rounds and records are kept under it, and one caller's must not be confused with another's. Only requests
that were let in use a name, so that nobody without a key can use up the names of others, or have them forgotten.
"""

import re
from collections import OrderedDict
from collections.abc import Sequence
from uuid import uuid4

ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
LONGEST = 36
MOST_REMEMBERED = 50_000


class RequestIds:
    """Names requests; remembers the latest names of those that were let in."""

    def __init__(self) -> None:
        """No names yet."""
        self._used: OrderedDict[str, None] = OrderedDict()

    def name(self, wanted: Sequence[bytes]) -> str:
        """The caller's own name where it is one and new (`wanted` holds its X-Request-ID headers), else one of ours."""
        own = _read(wanted)
        return uuid4().hex if own is None or own in self._used else own

    def use(self, name: str) -> None:
        """Never give this name again, for as long as it is remembered."""
        self._used[name] = None
        if len(self._used) > MOST_REMEMBERED:
            self._used.popitem(last=False)


def _read(wanted: Sequence[bytes]) -> str | None:
    if len(wanted) != 1 or len(wanted[0]) > LONGEST:
        return None
    text = wanted[0].decode("latin-1")
    return text.replace("-", "").lower() if ID.fullmatch(text) else None
