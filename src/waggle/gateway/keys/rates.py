"""How fast one key may go on: token buckets for requests and for tokens of the models, in memory.

A bucket holds one minute's worth, so a key that was idle may spend it in a burst, and refills evenly. What an answer
costs is known only afterwards, so a bucket of tokens may fall below zero; its key waits until it is above again. Limits
start anew with the process and hold for each gateway on its own. A key without limits has no bucket.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from waggle.core.token_bucket import TokenBucket
from waggle.gateway.keys.store import KeyInfo

MINUTE = 60.0  # seconds
REQUESTS, TOKENS = "requests", "tokens"
MOST_BUCKETS = 20_000
"""Two for each of the most keys that a store holds; beyond, the one that rested longest starts anew."""
LONGEST_WAIT = 3_600.0
"""Seconds; what one answer can cost is bounded, and so is what its key waits for it."""


@dataclass(frozen=True, order=True)
class Reached:
    """A limit that a key has reached: seconds until it may go on, and how many of `what` it may have in a minute."""

    wait: float
    what: str
    per_minute: int


class Rates:
    """The buckets of all keys; all methods belong to one event loop."""

    def __init__(self, *, now: Callable[[], float]) -> None:
        """All full; `now` counts seconds and never goes back."""
        self._now = now
        self._buckets: OrderedDict[tuple[str, str], TokenBucket] = OrderedDict()

    def take(self, key: KeyInfo) -> float:
        """Let one request of this key in; or the seconds after which it may come again, and nothing is taken."""
        if reached := self.reached(key):
            return reached.wait
        now = self._now()
        if requests := self._bucket(key.id, REQUESTS, key.requests_per_minute, now):
            requests.spend(1.0, now)
        return 0.0

    def reached(self, key: KeyInfo) -> Reached | None:
        """The limit of this key that holds it up now, the longer one of two; None where none does."""
        now = self._now()
        found = []
        for what, most in ((REQUESTS, key.requests_per_minute), (TOKENS, key.tokens_per_minute)):
            bucket = self._bucket(key.id, what, most, now)
            if most and bucket and (wait := bucket.wait(now, needed=1.0)):
                found.append(Reached(wait, what, most))
        return max(found, default=None)

    def charge(self, key: KeyInfo, tokens: int) -> None:
        """An answer has cost this many tokens."""
        now = self._now()
        if bucket := self._bucket(key.id, TOKENS, key.tokens_per_minute, now):
            bucket.spend(max(0, tokens), now)

    def _bucket(self, key: str, what: str, per_minute: int | None, now: float) -> TokenBucket | None:
        if per_minute is None:
            return None
        found = self._buckets.get((key, what))
        if found is None or found.most != per_minute:
            rate = per_minute / MINUTE
            found = TokenBucket(per_minute, rate, now, most_debt=rate * LONGEST_WAIT)
            self._buckets[key, what] = found
        self._buckets.move_to_end((key, what))
        if len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)
        return found
