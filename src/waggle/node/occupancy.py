"""How full the batches of this node's engines are: work that waits for or is in each of them."""

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from waggle.engines.protocol import Engine


@runtime_checkable
class Batching(Protocol):
    """An engine with a batch of its own."""

    @property
    def load(self) -> int:
        """Pieces of work in it, or waiting for it."""
        ...


def occupancy_of(engines: Mapping[str, Engine]) -> Callable[[], Mapping[str, float]]:
    """Asks the engines that can tell, by their names here; servers elsewhere cannot."""
    return lambda: {str(name): float(engine.load) for name, engine in engines.items() if isinstance(engine, Batching)}
