"""A swarm of five processes for all tests of a file, and a server whose answers the tests can hold back."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.processes.nodes import Node, Swarm
from tests.processes.server import HeldServer


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder of nodes whose sockets have a short enough path."""
    with TemporaryDirectory(prefix="wp", dir="/tmp", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder of nodes for one test."""
    with short_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def server() -> Iterator[HeldServer]:
    """Where nodes without a model of their own get their answers."""
    with HeldServer() as server:
        yield server


@pytest.fixture(scope="module")
def held() -> Iterator[HeldServer]:
    """The same for the node xenia alone."""
    with HeldServer() as held:
        yield held


@pytest.fixture(scope="module")
def five(server: HeldServer, held: HeldServer) -> Iterator[Swarm]:
    """Three nodes with bundled models and two that ask a server."""
    engines = {name: f"hive:{name}" for name in ("acacia", "heather", "sage")}
    engines |= {"xenia": f"{held.url}#xenia", "yarrow": f"{server.url}#yarrow"}
    with short_folder() as folder:
        swarm = Swarm(folder, [Node(folder, name, engine) for name, engine in engines.items()])
        try:
            swarm.bring_up()
            yield swarm
        finally:
            swarm.end()


@pytest.fixture
def swarm(five: Swarm, held: HeldServer) -> Iterator[Swarm]:
    """The five, whole again whatever the test before did to them."""
    held.release()
    five.bring_up()
    yield five
    held.release()
