"""`waggle up` runs a swarm of processes, and none of them outlives it."""

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes.nodes import begin, run
from tests.processes.proc import PATIENCE_SECONDS, processes_of, send, until
from tests.processes.server import HeldServer
from waggle.node.home.home import NodeHome

pytestmark = pytest.mark.timeout(400)

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
    """Wait for all three, and for the last of what is said of them."""
    until(lambda: "Ctrl-C ends all of them" in said(root), PATIENCE_SECONDS, "3 nodes are up")
    assert "3 nodes are up" in said(root)
    assert len(processes_of(root)) == EVERYTHING


def ends_told(root: Path) -> list[str]:
    """What is said of the end of a node that was killed by signal 9."""
    return re.findall(r"node up-xenia.* (?:status -9|\(signal 9\))", said(root))


def until_gone(root: Path) -> None:
    """Wait for the end of every process."""
    until(lambda: not processes_of(root), PATIENCE_SECONDS, "every process is gone")


def test_ctrl_c_leaves_no_process_behind(root: Path, server: HeldServer) -> None:
    with running(root, server) as command:
        until_up(root)
        invite = re.search(r"waggle://\S+", said(root))
        assert invite is not None
        run(root, "ask", "--via", invite[0], "How many 1 bits are there in the number 1453?").expect(0)
        command.send_signal(signal.SIGINT)
        until_gone(root)
        assert command.wait(PATIENCE_SECONDS) == 0


def test_a_node_that_dies_is_told_of_and_another_one_is_there_to_ask(root: Path, server: HeldServer) -> None:
    with running(root, server):
        until_up(root)
        first, second = re.findall(r"waggle://\S+", said(root))
        info = NodeHome(root, "up-xenia").running()
        assert info is not None
        send(signal.SIGKILL, info.pid)
        until(lambda: ends_told(root), PATIENCE_SECONDS, "its end is told of")
        assert len(ends_told(root)) == 1
        until(lambda: len(processes_of(root)) == EVERYTHING - 2, PATIENCE_SECONDS, "its daemon is gone, too")
        asked = "How many 1 bits are there in the number 1453?"
        alone = run(root, "ask", "--via", first, asked)
        assert "no node answers there" in alone.expect(1).stderr
        assert "--via takes several" in alone.stderr
        run(root, "ask", "--via", first, "--via", second, asked).expect(0)


def test_ctrl_c_while_nodes_start_leaves_no_process_behind(root: Path, server: HeldServer) -> None:
    with running(root, server) as command:
        until(lambda: len(processes_of(root)) > 2, PATIENCE_SECONDS, "a node has a daemon")
        command.send_signal(signal.SIGINT)
        until_gone(root)


def test_kill_9_of_the_command_leaves_no_process_behind(root: Path, server: HeldServer) -> None:
    with running(root, server) as command:
        until_up(root)
        command.kill()
        command.wait()
        until_gone(root)
