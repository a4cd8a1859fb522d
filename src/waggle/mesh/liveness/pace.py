"""How often a node asks, how long it waits, and how often others may make it work. All in seconds.

With these a killed node is out of every list within 15 s in swarms of up to 50 (measured in tests), and a node costs
about one ping and one comparison a second. Simulations of very many nodes may go slower.
"""

from collections import OrderedDict
from random import Random

from msgspec import Struct

from waggle.core.ids import NodeId

LARGE_SWARM = 128
"""Nodes past which comparisons become rarer."""
SLOWEST_EXCHANGE = 4.0
FIRST_INVITE_SECONDS = 2.0
LONGEST_INVITE_SECONDS = 30.0
MAX_NODES = 4_096
"""Whose rates are remembered."""


class Pace(Struct, frozen=True, kw_only=True):
    """The defaults fit links of up to half a second each way."""

    tick: float = 0.5
    """The prober looks what is due this often."""
    ping_every: float = 1.0
    """One node of the shuffled list is pinged this often; a suspect as often."""
    ping_seconds: float = 1.5
    """How long an answer is waited for."""
    link_seconds: float = 3.0
    """How long a new link may take before that."""
    suspect_seconds: float = 3.0
    """From suspicion to death, three unanswered pings at least in between and before."""
    vouched_seconds: float = 9.0
    """The same where others say that it answers them."""
    exchange_every: float = 1.0
    """One comparison of directories; slower in large swarms, up to four times."""
    exchange_seconds: float = 5.0
    news_every: float = 0.1
    """News gathers this long before it is passed on."""
    ttl: float = 90.0
    """Life of our own advert, renewed after a third of it."""
    farewell_seconds: float = 30.0
    """Life of a farewell: longer than news travels."""
    lost_first: float = 2.0
    lost_most: float = 30.0
    """First and longest wait before a dead node's last addresses are tried again."""
    lost_forget: float = 3_600.0


class Schedule:
    """When what is due next. Times in seconds of our clock; chance keeps nodes from acting all at once."""

    def __init__(self, pace: Pace, rng: Random, now: float) -> None:
        """Everything is due soon, renewal after its time."""
        self._pace = pace
        self._rng = rng
        self._ping_at = now + rng.random() * pace.ping_every
        self._exchange_at = now + rng.random() * pace.exchange_every
        self._renew_at = now + pace.ttl / 3
        self._invites_at = now + FIRST_INVITE_SECONDS
        self._invite_wait = FIRST_INVITE_SECONDS

    def _jittered(self, seconds: float) -> float:
        return seconds * (0.8 + 0.4 * self._rng.random())

    def ping_due(self, now: float) -> bool:
        """Whether to ping the next of the round; if so, it is noted as done."""
        if due := now >= self._ping_at:
            self._ping_at = max(self._ping_at + self._pace.ping_every, now)
        return due

    def exchange_due(self, now: float, known: int) -> bool:
        """Whether to compare with somebody; the more nodes are known, the rarer."""
        if due := now >= self._exchange_at:
            slower = min(SLOWEST_EXCHANGE, max(1.0, known / LARGE_SWARM))
            self._exchange_at = now + self._jittered(self._pace.exchange_every * slower)
        return due

    def renewal_due(self, now: float) -> bool:
        """Whether our own advert needs a new number."""
        if due := now >= self._renew_at:
            self._renew_at = now + self._jittered(self._pace.ttl / 3)
        return due

    def invites_due(self, now: float) -> bool:
        """Whether to try the invites again, for want of anybody."""
        if due := now >= self._invites_at:
            self._invite_wait = min(2.0 * self._invite_wait, LONGEST_INVITE_SECONDS)
            self._invites_at = now + self._jittered(self._invite_wait)
        return due


class Rates:
    """Token buckets: so much a second for each node, and so much at once. The longest unseen is forgotten first."""

    def __init__(self, *, per_second: float, burst: float) -> None:
        """Everybody begins with a full bucket."""
        self._per_second = per_second
        self._burst = burst
        self._levels: OrderedDict[NodeId, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._levels)

    def allow(self, node: NodeId, now: float, amount: float = 1.0) -> bool:
        """Take `amount` if it is there."""
        level, since = self._levels.pop(node, (self._burst, now))
        level = min(self._burst, level + (now - since) * self._per_second)
        allowed = level >= amount
        self._levels[node] = (level - amount if allowed else level, now)
        if len(self._levels) > MAX_NODES:
            self._levels.popitem(last=False)
        return allowed
