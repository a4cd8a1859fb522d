"""How fast somebody may go on: a token bucket, without a clock of its own.

It is full at first and refills evenly. What has been used has been used, so it may be overdrawn; who overdraws it waits
until it is level again. Invariant: -most_debt <= level <= most. Times in seconds that never run backwards.
"""

from math import inf


class TokenBucket:
    """Holds up to `most` units and refills at `per_second`; never overdrawn by more than `most_debt`."""

    __slots__ = ("_at", "_level", "_most_debt", "_per_second", "most")

    def __init__(self, most: float, per_second: float, now: float, *, most_debt: float = inf) -> None:
        """Full."""
        self.most = most
        self._per_second = per_second
        self._most_debt = most_debt
        self._level = most
        self._at = now

    def wait(self, now: float, needed: float = 0.0) -> float:
        """Seconds until `needed` units are there; 0 where they are. Of 10 at 2 a second, 14 spent: 2 s to be level."""
        self._level = min(self.most, self._level + max(0.0, now - self._at) * self._per_second)
        self._at = now
        return max(0.0, needed - self._level) / self._per_second

    def spend(self, units: float, now: float) -> float:
        """Take units out, also those that are not there; gives the seconds until it is level again."""
        self.wait(now)
        self._level = max(self._level - units, -self._most_debt)
        return self.wait(now)
