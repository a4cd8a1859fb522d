"""A swarm of real processes: each node is one `waggle join`, in one folder of nodes, on loopback."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.processes.proc import PATIENCE_SECONDS, daemon_of, processes_of, send, until
from waggle.core.errors import WaggleError
from waggle.core.mesh_values import Peer
from waggle.mesh.invite import format_invite
from waggle.node.control.client import ask_node
from waggle.node.control.messages import Peers, PeersReply
from waggle.node.home.home import NodeHome, RunInfo

WAGGLE = (sys.executable, "-m", "waggle")
LOOPBACK = ("--listen", "/ip4/127.0.0.1/tcp/0", "--no-multicast")
COMMAND_SECONDS = 90.0


class Ran(subprocess.CompletedProcess[str]):
    """A command that has ended, with what it said."""

    def expect(self, status: int) -> "Ran":
        """Itself, where it ended with this status."""
        assert self.returncode == status, f"{self.args[3:]} ended with {self.returncode}: {self.stdout}{self.stderr}"
        return self


def begin(
    home: Path, *arguments: str, out: Path | None = None, command: Sequence[str] = WAGGLE
) -> subprocess.Popen[str]:
    """Start a command line that uses this folder of nodes, and no other setting of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WAGGLE_")}
    output = subprocess.PIPE if out is None else out.open("w")
    try:
        return subprocess.Popen(
            [*command, *arguments],
            env=kept | {"WAGGLE_HOME": str(home)},
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE if out is None else subprocess.STDOUT,
            text=True,
        )
    finally:
        if not isinstance(output, int):
            output.close()


def finish(process: subprocess.Popen[str], seconds: float = COMMAND_SECONDS) -> Ran:
    """Wait for a command to end."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"{process.args!r} did not end within {seconds:g} s: {out}{err}") from None
    return Ran(process.args, process.returncode, out, err)


def run(home: Path, *arguments: str, seconds: float = COMMAND_SECONDS) -> Ran:
    """Run one command line to its end."""
    return finish(begin(home, *arguments), seconds)


@contextmanager
def running(root: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A command of waggle, whose output goes to the file `out`; what is left of it in the end is killed."""
    command = begin(root, *words, out=root / "out")
    try:
        yield command
    finally:
        send(signal.SIGKILL, *processes_of(root))
        command.wait()


def url_in(root: Path) -> str:
    """Where the gateway says that it serves."""
    found = until(
        lambda: re.search(r"(http://\S+)/v1", (root / "out").read_text()), PATIENCE_SECONDS, "the gateway is up"
    )
    return found[1]


class Node:
    """One process of the swarm; the same name is the same node, however often it is started."""

    command: Sequence[str] = WAGGLE

    def __init__(self, root: Path, name: str, engine: str) -> None:
        self.name = name
        self.root = root
        self.home = NodeHome(root, name)
        self.out = root / f"{name}.out"
        self._engine = engine
        self._process: subprocess.Popen[str] | None = None

    def start(self, invites: Sequence[str] = ()) -> None:
        """Start it; `until_up` waits for it."""
        self._process = begin(self.root, *self.arguments(invites), out=self.out, command=self.command)

    def arguments(self, invites: Sequence[str]) -> tuple[str, ...]:
        """What follows the command."""
        return ("join", *invites, "--name", self.name, *LOOPBACK, "--engine", self._engine)

    @property
    def pid(self) -> int:
        """Of the process started last."""
        assert self._process is not None
        return self._process.pid

    def is_running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def until_up(self) -> RunInfo:
        """Wait until it takes commands."""
        return until(self._info, PATIENCE_SECONDS, f"{self.name} is up")

    def _info(self) -> RunInfo | None:
        assert self.is_running(), f"{self.name} ended: {self.out.read_text()}"
        return self.home.running()

    @property
    def invite(self) -> str:
        """With what others join at it, or ask it."""
        info = self.until_up()
        return format_invite(info.addresses, info.network)

    def peers(self) -> tuple[Peer, ...]:
        """Whom it sees, asked without a process for it; nobody while it does not reply."""
        with suppress(WaggleError):
            return asyncio.run(ask_node(self.home.control_path(), Peers(skip=0), PeersReply)).peers
        return ()

    def sees(self, other: "Node") -> bool:
        """Whether it may choose the other one for a round."""
        return any(peer.advert.name == other.name and not peer.reason for peer in self.peers())

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It and its daemon do nothing in the meantime."""
        both = self.pid, daemon_of(self.pid)
        send(signal.SIGSTOP, *both)
        try:
            yield
        finally:
            send(signal.SIGCONT, *both)

    def kill(self) -> None:
        """End it without a warning."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def wait(self, seconds: float) -> int:
        """Wait for its end; gives its exit status."""
        assert self._process is not None
        return self._process.wait(seconds)


class Swarm:
    """Nodes that see each other."""

    def __init__(self, root: Path, nodes: Sequence[Node]) -> None:
        """Of nodes in the folder `root`; `bring_up` starts them."""
        self.root = root
        self.nodes = {node.name: node for node in nodes}

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def bring_up(self) -> None:
        """Start those that do not run, and wait until all see all."""
        missing = [node for node in self.nodes.values() if not node.is_running()]
        running = [node for node in self.nodes.values() if node not in missing]
        if missing and not running:
            running = [missing.pop(0)]
            running[0].start()
        for node in missing:
            node.start([running[0].invite])
        for node in missing:
            node.until_up()
        self.until_whole()

    def until_whole(self) -> None:
        """Wait until all see all."""
        until(self._is_whole, PATIENCE_SECONDS, "all see all")

    def _is_whole(self) -> bool:
        nodes = self.nodes.values()
        return all(one.sees(other) for one in nodes for other in nodes if one is not other)

    def end(self) -> None:
        """End all that was ever started here."""
        for node in self.nodes.values():
            if node.is_running():
                node.kill()
        until(lambda: not processes_of(self.root), PATIENCE_SECONDS, f"nothing is left in {self.root}")
