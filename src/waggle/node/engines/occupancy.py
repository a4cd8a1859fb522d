"""How busy this node's engines are: work that waits for or is in a batch of ours, calls under way to servers."""

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from waggle.engines.protocol import Engine
from waggle.node.engines.watch import WatchedEngine


@runtime_checkable
class Batching(Protocol):
    """An engine with a batch of its own."""

    @property
    def load(self) -> int:
        """Pieces of work in it, or waiting for it."""
        ...


@runtime_checkable
class Calling(Protocol):
    """An engine that counts its calls; what its server does with them, only the server knows."""

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        ...


def occupancy_of(engines: Mapping[str, Engine]) -> Callable[[], Mapping[str, float]]:
    """Asks the engines that can tell, by their names here."""

    def told() -> Mapping[str, float]:
        jobs = {str(name): _jobs(engine) for name, engine in engines.items()}
        return {name: float(count) for name, count in jobs.items() if count is not None}

    return told


def _jobs(engine: Engine) -> int | None:
    inner = engine.inner if isinstance(engine, WatchedEngine) else engine
    if isinstance(inner, Batching):
        return inner.load
    return inner.in_flight if isinstance(inner, Calling) else None
