"""Why somebody gave no answer: a kind to decide by, and words for people. The same in records and on the wire.

Errors become failures where work is given up, and failures errors again where somebody waits for it: `failure_of` and
`error_of`. Whoever decides by a failure looks at its kind, never at its words.
"""

from enum import StrEnum

from msgspec import Struct

from waggle.core.bounds import MAX_SECONDS, Seconds, ShortText
from waggle.core.errors import (
    EngineRefused,
    EngineUnavailable,
    OutOfTime,
    PeerBusy,
    PeerUnreachable,
    ProtocolError,
    TooLong,
    UsageError,
    WaggleError,
)

MAX_REASON_BYTES = 4 * 1024


class Cause(StrEnum):
    """The kind of a failure."""

    LATE = "late"
    """A deadline passed."""
    SLOW = "slow"
    """It took longer than expected, and another one was ready first."""
    SPARED = "spared"
    """Nobody needed it any more, or the token budget did not allow it."""
    EMPTY = "empty"
    """Nothing that was written can be used."""
    TOO_LONG = "too_long"
    """Longer than the model's context."""
    BUSY = "busy"
    """No room now; later there may be."""
    REFUSED = "refused"
    """It said no, and would say so again."""
    UNREACHABLE = "unreachable"
    """No link, or the link broke."""
    UNAVAILABLE = "unavailable"
    """The engine could not."""
    RULES = "rules"
    """What it sent breaks a rule."""
    CRASHED = "crashed"
    """A fault of the program."""


class Failure(Struct, frozen=True, forbid_unknown_fields=True):
    """One failure. `retry_after` is when to come again, in seconds, where somebody is only full."""

    cause: Cause
    reason: ShortText
    retry_after: Seconds | None = None


_CAUSES: tuple[tuple[type[Exception], Cause], ...] = (
    (TimeoutError, Cause.LATE),
    (OutOfTime, Cause.LATE),
    (PeerBusy, Cause.BUSY),
    (TooLong, Cause.TOO_LONG),
    (EngineRefused, Cause.REFUSED),
    (UsageError, Cause.REFUSED),
    (PeerUnreachable, Cause.UNREACHABLE),
    (ProtocolError, Cause.RULES),
    (WaggleError, Cause.UNAVAILABLE),
)
"""The first that fits counts."""


def failure_of(error: Exception, crashed: str = "a fault in the node") -> Failure:
    """An error as a failure; of one that is not ours nothing is told but `crashed`."""
    cause = next((cause for kind, cause in _CAUSES if isinstance(error, kind)), Cause.CRASHED)
    match error:
        case PeerBusy():
            wait = error.retry_after
            return Failure(cause, clipped(str(error)), None if wait is None else min(wait, MAX_SECONDS))
        case WaggleError():
            return Failure(cause, clipped(str(error)))
        case TimeoutError():
            return Failure(cause, "no answer in time")
        case _:
            return Failure(cause, clipped(crashed))


def error_of(failure: Failure) -> WaggleError:
    """The error that tells of a failure to whoever waited."""
    match failure.cause:
        case Cause.LATE:
            return OutOfTime(failure.reason)
        case Cause.BUSY:
            return PeerBusy(failure.reason, failure.retry_after)
        case Cause.TOO_LONG:
            return TooLong(failure.reason)
        case Cause.REFUSED:
            return EngineRefused(failure.reason)
        case Cause.UNREACHABLE:
            return PeerUnreachable(failure.reason)
        case _:
            return EngineUnavailable(failure.reason)


def clipped(text: str) -> str:
    """As much of a reason as may be told; what is no valid Unicode becomes a question mark."""
    return text.encode(errors="replace")[:MAX_REASON_BYTES].decode(errors="ignore")
