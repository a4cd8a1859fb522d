"""The search for a node that does one thing with a model: whom to ask next, for how long, and what went wrong so far.

Whoever fails, falls silent, stalls or is full is replaced by the next one, and for a while is tried last.
`solo_resume` is the rule by which a text goes on at another node. A node that says the request itself is at fault is
believed once a second one says so, or nobody else is left. Knows nothing of how a node is reached.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from waggle.core.engine_values import StreamedToken
from waggle.core.errors import (
    EngineRefused,
    LocalProtocolError,
    PeerBusy,
    PeerRefused,
    PeerUnreachable,
    RemoteProtocolError,
    UsageError,
    WaggleError,
)
from waggle.core.ids import NodeId
from waggle.core.mesh_values import ModelOffer
from waggle.node.observing.logs import facts
from waggle.node.solo.resume import Resumption

T = TypeVar("T")
log = logging.getLogger(__name__)

MAX_TRIES = 8  # nodes that are asked for one text
LEAST_PATIENCE = 5.0  # seconds for one token, while there is another node to go on
PATIENCE_SHARE = 1 / 3  # of the time left, for the same
MOST_PATIENCE = 60.0
BLAME_SECONDS = 30.0  # for which one who failed is tried last
MAX_BLAMED = 1_024


@dataclass(frozen=True)
class Place:
    """A model at a node; `down` is why it cannot be used now, as far as that is known."""

    node: NodeId
    offer: ModelOffer
    busy: float = 0.0
    away: float = 0.0
    down: str = ""


class Lately:
    """What went on at each node: who failed, and what it does for us now, which its own load may not say yet."""

    def __init__(self, home: NodeId | None = None) -> None:
        """Nothing yet; `home` is the node that is preferred while it has room."""
        self.out = Counter[NodeId]()
        self._home = home
        self._blamed: dict[NodeId, float] = {}

    def rank(self, place: Place) -> tuple[bool, bool, bool, float, float]:
        """Small for a good place: who works, did not fail lately, is ourselves unless full, least busy, nearest."""
        blamed = self._blamed.get(place.node, 0.0) > asyncio.get_running_loop().time()
        at_home = place.node == self._home and place.busy < 1
        return bool(place.down), blamed, not at_home, place.busy, place.away

    def blame(self, node: NodeId) -> None:
        """This one failed: try it last for a while."""
        if len(self._blamed) >= MAX_BLAMED:
            self._blamed.clear()
        self._blamed[node] = asyncio.get_running_loop().time() + BLAME_SECONDS

    @contextmanager
    def at_work(self, node: NodeId) -> Iterator[None]:
        """Count what a node does for us."""
        self.out[node] += 1
        try:
            yield
        finally:
            self.out[node] -= 1
            if not self.out[node]:
                del self.out[node]


class Search:
    """One search, over once somebody has done it."""

    def __init__(
        self,
        places: Callable[[], Sequence[Place]],
        lately: Lately,
        model: str,
        seconds: float,
        *,
        late: type[WaggleError] = PeerUnreachable,
    ) -> None:
        """Raises UsageError where nobody has the model.

        Args:
            places: those there are at the moment.
            late: what it is called where somebody does not answer in time.
        """
        self._places = places
        self._lately = lately
        self._model = model
        self._late = late
        self._ends = asyncio.get_running_loop().time() + seconds
        self._tried: set[NodeId] = set()
        self._failures: list[WaggleError] = []
        self._others = False
        if not self._left_over():
            names = ", ".join(sorted({place.offer.model for place in places()}))
            raise UsageError(f"no model {model!r} in this swarm; there are {names or 'none'}")

    @property
    def left(self) -> float:
        """Seconds."""
        return max(0.0, self._ends - asyncio.get_running_loop().time())

    @property
    def failure(self) -> WaggleError:
        """Why nobody could: a fault of the request first, then that all are full, then the last failure."""
        refusals = [failure for failure in self._failures if isinstance(failure, EngineRefused)]
        if refusals:
            return refusals[0]
        busy = [failure for failure in self._failures if isinstance(failure, PeerBusy)]
        if busy and len(busy) == len(self._failures):
            return PeerBusy("all nodes with this model are full", min(failure.retry_after or 0.0 for failure in busy))
        return self._failures[-1] if self._failures else self._late("no answer in time")

    def next(self) -> Place | None:
        """The best place not tried yet; None where asking on makes no sense."""
        refused = sum(isinstance(failure, EngineRefused) for failure in self._failures)
        if refused > 1 or len(self._tried) >= MAX_TRIES or not self.left:
            return None
        places = sorted(self._left_over(), key=self._lately.rank)
        self._others = len({place.node for place in places if not place.down}) > 1
        return places[0] if places else None

    async def wait(self, work: Awaitable[T]) -> T:
        """Bounded by the time left, and by less while somebody else could go on. Raises TimeoutError."""
        share = min(max(LEAST_PATIENCE, self.left * PATIENCE_SHARE), MOST_PATIENCE)
        async with asyncio.timeout(min(share, self.left) if self._others else self.left):
            return await work

    @contextmanager
    def try_at(self, place: Place) -> Iterator[None]:
        """Note what goes wrong at a place, and go on."""
        self._tried.add(place.node)
        with self._lately.at_work(place.node):
            try:
                yield
            except TimeoutError:
                self._note(place, self._late(f"{self._model} did not answer in time"))
            except RemoteProtocolError as error:
                self._note(place, PeerRefused(str(error)))
            except (PeerBusy, EngineRefused) as error:  # it is there, and says so
                self._failures.append(error)
                log.info("a node cannot take it", extra=facts(node=place.node, kind=type(error).__name__))
            except (UsageError, LocalProtocolError):
                raise
            except WaggleError as error:
                self._note(place, error)

    def _note(self, place: Place, error: WaggleError) -> None:
        self._failures.append(error)
        log.info("a node failed", extra=facts(node=place.node, kind=type(error).__name__))
        if self.left:  # else it may only have been given too little time
            self._lately.blame(place.node)

    def _left_over(self) -> list[Place]:
        return [
            place
            for place in self._places()
            if self._model in (place.offer.model, place.node) and place.node not in self._tried
        ]


async def write(
    search: Search, write_at: Callable[[Place], AsyncGenerator[StreamedToken, None]]
) -> AsyncGenerator[StreamedToken, None]:
    """One text, by as many nodes as it takes; the last item carries the whole `Generation`.

    Raises:
        WaggleError: nobody could; `Search.failure` says which.
    """
    text = Resumption()
    while (place := search.next()) is not None:
        text.begin()
        with search.try_at(place):
            async with aclosing(write_at(place)) as tokens:
                while (token := await search.wait(anext(tokens, None))) is not None:
                    shown = text.take(token)
                    if shown is not None:
                        yield shown
                    if token.generation is not None:
                        return
            raise PeerUnreachable(f"{place.node} ended without a word")
    raise search.failure


async def do(search: Search, do_at: Callable[[Place], Awaitable[T]]) -> T:
    """One piece of work, by the first node that manages; raises as `write` does."""
    while (place := search.next()) is not None:
        with search.try_at(place):
            return await search.wait(do_at(place))
    raise search.failure
