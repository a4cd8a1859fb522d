"""Room in the gateway: so many requests at once, a bounded line behind them, taken in turn from the keys.

Built on the node's own `Admission`, whose askers are here keys: it hands places out round the keys, so that one who
asks a hundred things holds up another's one by a single turn. The pages stand in line as if they were a key of their
own, and so do all callers together while no keys are in use. Nobody waits without end.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from waggle.core.errors import PeerBusy
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Load
from waggle.gateway.options import GatewayOptions
from waggle.node.rounds.admission import Admission as Places

NO_KEY, PAGES = "", "pages"
"""Who stands in line without a key: everybody while there are no keys, to whom the whole line belongs; the pages."""
LEAST_RETRY_SECONDS, MOST_RETRY_SECONDS = 1.0, 60.0


class Admission:
    """Hands out places; all methods belong to one event loop."""

    def __init__(self, *, running: int, waiting: int, waiting_per_key: int, longest_wait: float) -> None:
        """Nobody is there yet.

        Args:
            running: requests at once.
            waiting: requests in line, of all keys together.
            waiting_per_key: of those, how many may be one key's.
            longest_wait: seconds that a request may stand in line.
        """
        self._places = Places(
            capacity=running, queue=waiting, queue_per_asker=waiting_per_key, unbounded=(NodeId(NO_KEY),)
        )
        self._longest_wait = longest_wait

    @classmethod
    def of(cls, options: GatewayOptions) -> "Admission":
        """As the options say; who has waited as long as a request may take is told to come again."""
        return cls(
            running=options.max_running,
            waiting=options.max_waiting,
            waiting_per_key=options.max_waiting_per_key,
            longest_wait=options.request_seconds,
        )

    @property
    def load(self) -> Load:
        """How busy the gateway is."""
        return self._places.load

    @asynccontextmanager
    async def place(self, key: str) -> AsyncIterator[None]:
        """Hold a place while the block runs; one who is cancelled while waiting leaves the line.

        Raises:
            PeerBusy: at once where the line is full, and after the longest wait; says when to come again.
        """
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._longest_wait):
                    await held.enter_async_context(self._places.place(NodeId(key)))
            except PeerBusy as busy:
                raise _full(busy.retry_after or 0.0) from None
            except TimeoutError:
                raise _full(self._longest_wait) from None
            yield


def _full(retry_after: float) -> PeerBusy:
    return PeerBusy("the gateway is full now", min(max(retry_after, LEAST_RETRY_SECONDS), MOST_RETRY_SECONDS))
