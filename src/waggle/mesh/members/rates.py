"""Token buckets, one per node, for what each may make us do."""

from collections import OrderedDict

from waggle.core.ids import NodeId

MAX_NODES = 4_096


class Rates:
    """So many a second for each node, and so many at once. Whoever was seen longest ago is forgotten first."""

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
