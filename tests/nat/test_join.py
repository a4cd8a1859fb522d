"""Nodes at home that were told nothing but an invite: they find relays, are reached through them, and find others.

Each is a process that runs what `waggle join` runs, on a machine of a lab, in a folder of its own.
"""

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes.conftest import short_folder
from tests.processes.nodes import Node, begin, finish
from tests.processes.proc import until
from waggle.core.errors import WaggleError
from waggle.core.ids import NodeId
from waggle.mesh.libp2p.relay_choice import relay_of
from waggle.node.control.client import ask_node
from waggle.node.control.messages import Status, StatusReply
from waggle.testing.netlab import Lab, Machine, Nat, namespaces, open_lab

pytestmark = [
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("networks"),
]

ROOT = Path(__file__).parents[2]
RELAYS = 2
MEET_SECONDS = 15.0
DIRECT_SECONDS = 30.0
AGAIN_SECONDS = 30.0
ANSWER_SECONDS = 20.0
"""With the start of the command, on a busy machine."""


class LabNode(Node):
    """A node on a machine of a lab."""

    def __init__(self, folder: Path, name: str, machine: Machine, *words: str) -> None:
        (folder / name).mkdir()
        super().__init__(folder / name, name, "")
        self.machine = machine
        self._words = words
        self.command = self.inside("tests.nat.scripted_join")

    def inside(self, module: str) -> Sequence[str]:
        """The command that runs a module on the node's machine."""
        return namespaces.inside(
            self.machine.namespace, "env", f"PYTHONPATH={ROOT}", sys.executable, "-m", module
        )  # fmt: skip

    def arguments(self, invites: Sequence[str]) -> tuple[str, ...]:
        """What `scripted_join` takes."""
        return (self.name, *self._words, *invites)

    @property
    def id(self) -> NodeId:
        """Its peer id."""
        return self.until_up().node

    def relays(self) -> set[NodeId]:
        """Where it tells others to have a place; nothing while it does not reply."""
        try:
            status = asyncio.run(ask_node(self.home.control_path(), Status(), StatusReply))
        except WaggleError:
            return set()
        return {relay for address in status.addresses if (relay := relay_of(address)) is not None}

    def way_to(self, other: "LabNode") -> str:
        """How it is linked to another node, in words; empty where it is not."""
        return next((peer.way for peer in self.peers() if peer.advert.name == other.name), "")

    def ask(self, other: "LabNode", question: str) -> tuple[str, set[str]]:
        """Ask another node from the machine of this one; gives the answer and the ids of those who were asked."""
        told = (
            finish(
                begin(self.root, "ask", "--via", other.invite, "--json", question, command=self.inside("waggle")),
                ANSWER_SECONDS,
            )
            .expect(0)
            .stdout
        )
        return json.loads(told)["answer"], set(json.loads(told)["nodes"])


class Homes:
    """Public nodes, of which the first RELAYS relay, and two nodes at home that were given the first one's invite."""

    def __init__(self, lab: Lab, folder: Path, runner: asyncio.Runner) -> None:
        self.public = [
            LabNode(folder, f"public{number}", machine, *(["--serve-as-relay"] if number < RELAYS else []))
            for number, machine in enumerate(lab.public)
        ]
        self.ann, self.bob = (
            LabNode(folder, name, machine) for name, machine in zip(("ann", "bob"), lab.homes, strict=True)
        )
        self._runner = runner

    def start(self) -> None:
        """Start them, and wait until the two see each other."""
        first, *others = self.public
        first.start()
        for node in (*others, self.ann, self.bob):
            node.start([first.invite])
        for node in self.all():
            node.until_up()
        until(self.meet, MEET_SECONDS, "ann and bob see each other")

    def meet(self) -> bool:
        """Whether either may choose the other for a round."""
        return self.ann.sees(self.bob) and self.bob.sees(self.ann)

    def have_places_at(self, *relays: LabNode) -> bool:
        """Whether both are told of as reachable through these relays and no others."""
        return self.ann.relays() == self.bob.relays() == {relay.id for relay in relays}

    def cut_power(self, node: LabNode) -> None:
        """End a node and its machine without a word to anybody."""
        self._runner.run(node.machine.cut_power())

    def all(self) -> Iterator[LabNode]:
        """Every node."""
        yield from (*self.public, self.ann, self.bob)


@contextmanager
def homes(*, public: int, nats: Sequence[Nat]) -> Iterator[Homes]:
    """A lab with running nodes on it. The test itself runs no event loop: `Node` runs its own."""
    with short_folder() as folder, asyncio.Runner() as runner:
        opening = open_lab(public=public, nats=nats)
        nodes = Homes(runner.run(opening.__aenter__()), folder, runner)
        try:
            nodes.start()
            yield nodes
        finally:
            for node in nodes.all():
                if node.is_running():
                    node.kill()
            runner.run(opening.__aexit__(None, None, None))


def test_a_question_at_home_is_answered_with_the_help_of_another_home() -> None:
    with homes(public=1, nats=[Nat.SYMMETRIC, Nat.SYMMETRIC]) as nodes:
        assert nodes.have_places_at(*nodes.public)
        assert nodes.public[0].relays() == set()
        for asked in (nodes.ann, nodes.bob):  # at home, and from home at the other home
            answer, by = nodes.ann.ask(asked, "2 + 3")
            assert answer == "5"
            assert {nodes.ann.id, nodes.bob.id} <= by


def test_homes_find_each_other_again_after_their_relay_has_lost_power() -> None:
    with homes(public=2, nats=[Nat.SYMMETRIC, Nat.SYMMETRIC]) as nodes:
        first, second = nodes.public
        until(lambda: nodes.have_places_at(first, second), MEET_SECONDS, "both have two places")
        nodes.cut_power(first)
        until(lambda: nodes.have_places_at(second) and nodes.meet(), AGAIN_SECONDS, "they meet through the other relay")
        answer, by = nodes.ann.ask(nodes.ann, "2 + 4")
        assert answer == "6"
        assert nodes.bob.id in by


def test_homes_behind_cone_nats_end_up_with_a_direct_link() -> None:
    with homes(public=4, nats=[Nat.CONE, Nat.CONE]) as nodes:
        until(lambda: nodes.ann.way_to(nodes.bob) == "direct", DIRECT_SECONDS, "the link is direct")
        until(lambda: nodes.bob.way_to(nodes.ann) == "direct", DIRECT_SECONDS, "and at the other end")
