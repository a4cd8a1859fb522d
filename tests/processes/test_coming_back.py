"""A node that ends and is started again with nothing but its folder: the same port, and the same swarm."""

import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.processes.nodes import Node
from tests.processes.proc import PATIENCE_SECONDS, processes_of, until

pytestmark = pytest.mark.timeout(400)


class Forager(Node):
    """A node without models that is told nothing but its invites and its name."""

    def __init__(self, root: Path, name: str) -> None:
        super().__init__(root, name, "")

    def arguments(self, invites: Sequence[str]) -> tuple[str, ...]:
        return ("join", *invites, "--name", self.name, "--no-multicast", "--without-models")

    @property
    def ports(self) -> set[int]:
        """The TCP ports at which it is found."""
        return {int(text.split("/tcp/")[1].split("/")[0]) for text in self.until_up().addresses if "/tcp/" in text}


@pytest.fixture
def pair(root: Path) -> Iterator[tuple[Forager, Forager]]:
    """Two nodes that see each other, each in a folder of nodes of its own."""
    nodes = Forager(root / "one", "one"), Forager(root / "two", "two")
    for node in nodes:
        node.root.mkdir()
    try:
        nodes[0].start()
        nodes[1].start([nodes[0].invite])
        nodes[1].until_up()
        until(lambda: all(remembers(node) for node in nodes), PATIENCE_SECONDS, "each remembers the other")
        yield nodes
    finally:
        for node in nodes:
            if node.is_running():
                node.kill()
        until(lambda: not processes_of(root), PATIENCE_SECONDS, "nothing is left")


def remembers(node: Forager) -> bool:
    """Whether it knows of somebody for its next start."""
    return node.home.last.exists() and b"/p2p/" in node.home.last.read_bytes()


def end(*nodes: Forager) -> None:
    """Kill them, and wait for the ends of their daemons, which hold the ports."""
    for node in nodes:
        node.kill()
    for node in nodes:
        until(lambda node=node: not processes_of(node.root), PATIENCE_SECONDS, "its daemon is gone")  # type: ignore[misc]


def sees(one: Forager, other: Forager) -> None:
    """It does, once it is up."""
    one.until_up()
    until(lambda: one.sees(other), PATIENCE_SECONDS, f"{one.name} sees {other.name}")


def test_a_killed_node_comes_back_at_its_port_and_into_its_swarm(pair: tuple[Forager, Forager]) -> None:
    one, two = pair
    ports, invite = two.ports, two.invite
    end(two)
    two.start()
    assert two.ports == ports
    sees(two, one)
    sees(one, two)
    end(one)
    one.home.last.unlink()
    one.start([invite])
    sees(one, two)  # by the invite that two gave before it was killed


def test_all_nodes_of_a_swarm_come_back_after_a_power_cut(pair: tuple[Forager, Forager]) -> None:
    end(*pair)
    for node in pair:
        node.start()
    sees(*pair)
    sees(*reversed(pair))


def test_a_node_whose_port_was_taken_meanwhile_takes_another(pair: tuple[Forager, Forager]) -> None:
    one, two = pair
    (port,) = one.ports
    end(one)
    with socket.create_server(("0.0.0.0", port)):
        one.start()
        assert one.ports.isdisjoint({port})
        assert f"port {port} of last time is taken" in one.out.read_text()
        sees(one, two)


def test_a_node_told_to_forget_comes_back_elsewhere_and_alone(root: Path) -> None:
    node = Forager(root, "one")
    node.arguments = lambda invites: (*Forager.arguments(node, invites), "--no-remember")  # type: ignore[method-assign]
    try:
        node.start()
        ports = node.ports
        assert not node.home.last.exists()
        end(node)
        node.start()
        assert node.ports.isdisjoint(ports)
    finally:
        node.kill()
        until(lambda: not processes_of(root), PATIENCE_SECONDS, "nothing is left")
