"""What a message may hold: the round's limits on everything that others send, checked before it changes anything.

Text must be encodable as well (no lone surrogates): a round's record is written to JSON, and one bad character would
cost all of it.
"""

from math import isfinite

from waggle.core.errors import RemoteProtocolError
from waggle.core.ids import NodeId

MAX_ANSWER_BYTES = 64 * 1024
MAX_REASON_BYTES = 4 * 1024
MAX_TRACE_BYTES = 256 * 1024
"""64 proposals of the largest size still make a record that can be read back."""


def check_text(sender: NodeId, name: str, text: str, most_bytes: int) -> None:
    """Refuse a text that is too long or not valid Unicode.

    Raises:
        RemoteProtocolError: naming the sender and which of its texts it is, not the text.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise RemoteProtocolError(f"{sender}: the {name} is not valid Unicode text") from None
    if size > most_bytes:
        raise RemoteProtocolError(f"{sender}: the {name} is longer than {most_bytes} bytes")


def check_seconds(sender: NodeId, seconds: float) -> None:
    """Refuse a duration that is none. Raises RemoteProtocolError."""
    if not (isfinite(seconds) and seconds >= 0):
        raise RemoteProtocolError(f"{sender}: {seconds} is no number of seconds")
