"""Counts and sizes in words, the same in every message. Pure."""

KILO = 1_000
ID_END = 6  # characters
UNITS = ("bytes", "kB", "MB", "GB", "TB")


def many(count: int, noun: str, plural: str = "") -> str:
    """1 is "1 peer", 3 is "3 peers"; `plural` where an s is not enough."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def id_end(node: str) -> str:
    """The end of a peer's id, which is what differs: "...9KAYs"."""
    return f"...{node[-ID_END:]}"


def amount(size_bytes: int) -> str:
    """1,936,402 is "1.9 MB", 268,000,000 is "268 MB", 512 is "512 bytes"."""
    if size_bytes < KILO:
        return many(size_bytes, "byte")
    power = next((power for power in (1, 2, 3) if round(size_bytes / KILO**power) < KILO), 4)
    size = size_bytes / KILO**power
    return f"{size:.1f} {UNITS[power]}" if round(size, 1) < 10 else f"{size:,.0f} {UNITS[power]}"
