"""Numbers and foreign text in words fit for a page. Pure.

Whatever models, peers and files wrote passes through `plain`: the page shows it as text and nothing else, and letters
that steer terminals or turn the direction of writing are shown as escapes.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from waggle.core.inert import inert

LONG_ID = 20  # characters
NOT_KEPT = "(question not kept)"
MOST = 8_000
"""Characters shown of any text of somebody else's; the record keeps all."""


def plain(text: str, limit: int = MOST) -> str:
    """The text with unseen letters as escapes, such as \\x1b, cut to `limit` characters."""
    return inert(text if len(text) <= limit else text[: limit - 3] + "...")


def one_line(text: str, limit: int = 120) -> str:
    """The same on one line."""
    return plain(" ".join(text[: 4 * limit].split()), limit)


def percent(share: float | None) -> str:
    """A share in [0, 1]: 0.934 is "93 %", 0.9956 is "99.6 %"."""
    if share is None:
        return "–"
    if share in (0.0, 1.0) or 0.01 <= share <= 0.99:
        return f"{100 * share:.0f} %"
    if 0.0005 <= share <= 0.9995:  # near the ends a whole percent would claim too much
        return f"{100 * share:.1f} %"
    return "< 0.1 %" if share < 0.5 else "> 99.9 %"


def duration(seconds: float | None) -> str:
    """0.0042 is "4.2 ms", 2.34 is "2.3 s", 75 is "1 min 15 s"."""
    if seconds is None:
        return "–"
    if seconds < 0.01:
        return f"{1000 * seconds:.1f} ms"
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def ago(then: float, now: float) -> str:
    """How long since a moment, both in seconds since 1970."""
    gone = max(0.0, now - then)
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if gone >= size:
            count = int(gone // size)
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "just now"


def moment(then: float) -> str:
    """A date and time, in UTC."""
    return datetime.fromtimestamp(then, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def short_id(name: str, limit: int = 18) -> str:
    """A long peer id by its ends, which are what differs."""
    name = one_line(name, 200)
    return name if len(name) <= limit else f"{name[:6]}…{name[-6:]}"


def with_names(text: str, names: Mapping[str, str]) -> str:
    """The text with long ids of nodes replaced by what people call the nodes."""
    for node, name in names.items():
        if len(node) >= LONG_ID and node in text:
            text = text.replace(node, name)
    return text


def strategy_words(strategy: str) -> str:
    """A way of answering on a page: "vote", "solo: acacia"."""
    return one_line(strategy.replace(":", ": ", 1), 80)
