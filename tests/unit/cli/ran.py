"""How a command line ended, run in this process or in one of its own."""

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple, Protocol

from waggle.core.ids import NodeId
from waggle.node.home.home import RunInfo


class Ran(NamedTuple):
    """Exit status and both outputs."""

    status: int
    out: str
    err: str

    def complaint(self, status: int | None = None) -> str:
        """The one line on standard error, without the program's name; of a command that ended with this status."""
        assert status in (None, self.status), self.status
        assert self.err.startswith("waggle: "), self.err
        assert self.err.count("\n") == 1, self.err
        return self.err.removeprefix("waggle: ").rstrip("\n")


class Waggle(Protocol):
    """Runs a command line in this process."""

    def __call__(self, *arguments: str) -> Ran:
        """Arguments as after `waggle`."""
        ...


class Running(Protocol):
    """Lets nodes of these names seem to run in a folder until the test ends; each has a port of its own, from 1."""

    def __call__(self, root: Path, *names: str) -> None: ...


class Screen(io.TextIOWrapper):
    """A terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


PEER = "12D3KooWGjMCdjr2FSnE5aQWWyUPGyLPGoFnUzPrZGSBbnVdSbsN"


def address(port: int = 4001) -> str:
    """Of that peer."""
    return f"/ip4/127.0.0.1/tcp/{port}/p2p/{PEER}"


def run_info(name: str, addresses: tuple[str, ...] = (), control: str = "/c", gateway: str = "") -> RunInfo:
    """What a node of this name says of itself while it runs."""
    return RunInfo(
        name=name, pid=1, node=NodeId(PEER), network="w", addresses=addresses, control=control, started=0.0,
        gateway=gateway,
    )  # fmt: skip


COMMAND = (sys.executable, "-m", "waggle")


def environment(**more: str) -> dict[str, str]:
    """This process's environment and more."""
    return {**os.environ, **more}


def run_alone(*arguments: str, **variables: str) -> Ran:
    """Run a command line in a process of its own, with these environment variables."""
    done = subprocess.run((*COMMAND, *arguments), capture_output=True, env=environment(**variables), timeout=60)
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
