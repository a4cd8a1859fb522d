"""`waggle up` runs a swarm of processes, and none of them outlives it."""

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes.nodes import begin, run
from tests.processes.proc import processes_of, send, until
from tests.processes.server import HeldServer
from waggle.node.home.home import NodeHome

pytestmark = pytest.mark.timeout(120)

START_SECONDS = 60.0
GONE_SECONDS = 10.0
EVERYTHING = 7
"""The command, three nodes and their daemons."""


@contextmanager
def running(root: Path, server: HeldServer) -> Iterator[subprocess.Popen[str]]:
    """`waggle up` with three nodes; what is left of it in the end is killed."""
    engines = [word for name in ("xenia", "yarrow", "zinnia") for word in ("--engine", f"{server.url}#{name}")]
    command = begin(root, "up", "--nodes", "3", *engines, out=root / "up.out")
    try:
        yield command
    finally:
        send(signal.SIGKILL, *processes_of(root))
        command.wait()


def said(root: Path) -> str:
    """What it printed so far."""
    return (root / "up.out").read_text()


def until_up(root: Path) -> None:
    """Wait for all three."""
    until(lambda: "3 nodes are up" in said(root), START_SECONDS, "3 nodes are up")
    assert len(processes_of(root)) == EVERYTHING


def until_gone(root: Path) -> None:
    """Wait for the end of every process."""
    until(lambda: not processes_of(root), GONE_SECONDS, "every process is gone")


def test_ctrl_c_leaves_no_process_behind(root: Path, server: HeldServer) -> None:
    with running(root, server) as command:
        until_up(root)
        invite = re.search(r"waggle://\S+", said(root))
        assert invite is not None
        run(root, "ask", "--via", invite[0], "How many 1 bits are there in the number 1453?").expect(0)
        command.send_signal(signal.SIGINT)
        until_gone(root)
        assert command.wait(GONE_SECONDS) == 0


def test_a_node_that_dies_is_told_of_and_another_one_is_there_to_ask(root: Path, server: HeldServer) -> None:
    with running(root, server):
        until_up(root)
        first, second = re.findall(r"waggle://\S+", said(root))
        info = NodeHome(root, "up-xenia").running()
        assert info is not None
        send(signal.SIGKILL, info.pid)
        until(lambda: "node up-xenia ended with status -9" in said(root), GONE_SECONDS, "its end is told of")
        assert said(root).count("ended with status") == 1
        asked = "How many 1 bits are there in the number 1453?"
        alone = run(root, "ask", "--via", first, asked)
        assert "no node answers there" in alone.expect(1).stderr
        assert "--via takes several" in alone.stderr
        run(root, "ask", "--via", first, "--via", second, asked).expect(0)


def test_ctrl_c_while_nodes_start_leaves_no_process_behind(root: Path, server: HeldServer) -> None:
    with running(root, server) as command:
        until(lambda: len(processes_of(root)) > 2, START_SECONDS, "a node has a daemon")
        command.send_signal(signal.SIGINT)
        until_gone(root)


def test_kill_9_of_the_command_leaves_no_process_behind(root: Path, server: HeldServer) -> None:
    with running(root, server) as command:
        until_up(root)
        command.kill()
        command.wait()
        until_gone(root)
