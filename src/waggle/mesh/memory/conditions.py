"""What the simulated way from one node to another is like."""

from msgspec import Struct

from waggle.core.errors import UsageError


class Conditions(Struct, frozen=True, kw_only=True):
    """The state of one direction between two nodes; the default is a perfect wire.

    A message of s bytes arrives after `s / bandwidth + delay + u` seconds, u drawn evenly from [0, jitter].
    """

    delay: float = 0.0
    """Seconds one way."""
    jitter: float = 0.0
    """Seconds at most on top."""
    loss: float = 0.0
    """Share of messages that get lost, in [0, 1]."""
    reordering: float = 0.0
    """Share of messages held back for another `delay + jitter` seconds, so that later ones overtake them."""
    bandwidth: float | None = None
    """Bytes per second that leave one after the other; None is unlimited."""

    def __post_init__(self) -> None:
        """Raise UsageError for what no network can be like."""
        if not (0 <= self.loss <= 1 and 0 <= self.reordering <= 1):
            raise UsageError(f"loss {self.loss} and reordering {self.reordering} are shares: give numbers from 0 to 1")
        if not (0 <= self.delay < 1e6 and 0 <= self.jitter < 1e6):
            raise UsageError(f"delay {self.delay} and jitter {self.jitter} are seconds: give numbers from 0")
        if self.bandwidth is not None and not self.bandwidth > 0:
            raise UsageError(f"a bandwidth of {self.bandwidth} bytes per second lets nothing through")
