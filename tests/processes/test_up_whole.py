"""`waggle up` as people meet it: at a terminal, with files and variables about, and with Ctrl-C at any time."""

import os
import pty
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes.nodes import WAGGLE, begin, run
from tests.processes.proc import PATIENCE_SECONDS, processes_of, send, until
from tests.processes.server import HeldServer
from waggle.node.home.home import NodeHome

pytestmark = pytest.mark.timeout(400)

TWO = ("up", "--nodes", "2", "--engine", "scripted:a", "--engine", "scripted:b")
IN_MEMORY = (*TWO, "--mesh", "memory")
QUESTION = "What is 2 + 2?"
AT_ONCE_SECONDS = 30.0
"""What takes a second or two, on a busy machine; a reader that cannot be ended takes for ever."""


class Terminal:
    """A command at a terminal of its own."""

    def __init__(self, home: Path, *arguments: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WAGGLE_")}
        ours, theirs = pty.openpty()
        self._ours, self._shown = ours, b""
        self.process = subprocess.Popen(
            [*WAGGLE, *arguments],
            env=kept | {"WAGGLE_HOME": str(home), "TERM": "xterm", "COLUMNS": "200"},
            cwd=home,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            preexec_fn=_lead,
        )
        os.close(theirs)
        os.set_blocking(ours, False)

    def type(self, keys: str) -> None:
        """As a person would."""
        os.write(self._ours, keys.encode())

    def shown(self) -> str:
        """All that came to be seen so far."""
        try:
            while data := os.read(self._ours, 65_536):
                self._shown += data
        except OSError:  # nothing more now, or for ever
            pass
        return self._shown.decode(errors="replace")

    def until_shown(self, words: str) -> None:
        """Wait for these words."""
        until(lambda: words in self.shown(), PATIENCE_SECONDS, words)

    def wait(self, seconds: float) -> int:
        """Wait for its end, reading on; gives its exit status."""
        until(lambda: (self.shown(), self.process.poll() is not None)[1], seconds, "it has ended")
        return self.process.wait()


def _lead() -> None:
    """Be the first process of this terminal, so that Ctrl-C there reaches us."""
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def terminal(home: Path, *arguments: str) -> Iterator[Terminal]:
    """What is left of it in the end is killed."""
    found = Terminal(home, *arguments)
    try:
        yield found
    finally:
        send(signal.SIGKILL, found.process.pid, *processes_of(home))
        found.process.wait()


@pytest.mark.parametrize("keys", ["\x03", "\n", "\x04"], ids=["ctrl-c", "empty line", "ctrl-d"])
def test_the_prompt_answers_and_ends_when_it_is_told_to(root: Path, keys: str) -> None:
    with terminal(root, *IN_MEMORY) as shown:
        shown.until_shown("question>")
        shown.type(f"{QUESTION}\n")
        shown.until_shown("confidence")
        until(lambda: shown.shown().count("question>") == 2, PATIENCE_SECONDS, "it asks again")
        shown.type(keys)
        assert shown.wait(AT_ONCE_SECONDS) == 0
        assert "Traceback" not in shown.shown()


def test_ctrl_c_ends_a_question_that_nobody_answers(root: Path, held: HeldServer) -> None:
    with terminal(root, "up", "--mesh", "memory", "--nodes", "1", "--engine", f"{held.url}#xenia") as shown:
        shown.until_shown("question>")
        held.hold()
        shown.type(f"{QUESTION}\n")
        until(lambda: held.waiting, PATIENCE_SECONDS, "the question is asked")
        shown.type("\x03")
        assert shown.wait(AT_ONCE_SECONDS) == 0
        held.release()


def test_the_prompt_reads_a_file_a_pipe_or_nothing(root: Path) -> None:
    questions = root / "questions"
    questions.write_text(f"{QUESTION}\n{QUESTION}")
    for given, answers in ((questions, 2), (Path(os.devnull), 0)):
        with given.open() as source:
            done = subprocess.run(
                [*WAGGLE, *IN_MEMORY], stdin=source, capture_output=True, text=True, cwd=root, timeout=PATIENCE_SECONDS,
                env=os.environ | {"WAGGLE_HOME": str(root)}, check=True,
            )  # fmt: skip
        assert done.stdout.count("confidence") == answers


def test_a_gateway_goes_on_where_nobody_types(root: Path) -> None:
    command = begin(root, *IN_MEMORY, "--gateway-port", "0", out=root / "out")
    try:
        until(lambda: "the gateway goes on" in (root / "out").read_text(), PATIENCE_SECONDS, "it serves")
        url = (root / "out").read_text().split("dashboard ")[1].split("/ and")[0]
        from urllib.request import urlopen

        with urlopen(f"{url}/v1/models", timeout=PATIENCE_SECONDS) as reply:
            assert b"swarm" in reply.read()
        command.send_signal(signal.SIGINT)
        assert command.wait(AT_ONCE_SECONDS) == 0
    finally:
        command.kill()
        command.wait()


def test_settings_of_elsewhere_do_not_reach_the_nodes_and_their_end_is_told(root: Path) -> None:
    """The file here would have each node join a stranger and go by relays that are none."""
    (root / "waggle.toml").write_text('join = ["junk"]\nrelays = ["junk"]\nannounce = ["junk"]\nprice = 7\n')
    (root / "own.toml").write_text('network = "orchard"\ncapacity = 3\n')
    command = begin(root, *TWO, "--config", "own.toml", "--gateway-port", "0", out=root / "out")

    def said() -> str:
        return (root / "out").read_text()

    try:
        until(lambda: "Ctrl-C ends all of them" in said(), PATIENCE_SECONDS, "2 nodes are up")
        peers = run(root, "peers", "--json", "--node", "up-scripted-a").expect(0).stdout
        assert '"network": "orchard"' in peers
        assert '"capacity": 3' in peers
        (root / "waggle.toml").unlink()
        assert "confidence" in run(root, "ask", "--here", QUESTION).stdout
        assert "'waggle:///" in said()  # a ? in it would be the shell's
        info = NodeHome(root, "up-scripted-a").running()
        assert info is not None
        send(signal.SIGKILL, info.pid)
        until(lambda: f"{info.gateway} is gone" in said(), PATIENCE_SECONDS, "the gateway's end is told of")
        assert "node up-scripted-a killed (signal 9)\n" in said()
        command.send_signal(signal.SIGINT)
        assert command.wait(AT_ONCE_SECONDS) == 0
        assert said().endswith("all nodes have ended\n")
    finally:
        send(signal.SIGKILL, command.pid, *processes_of(root))
        command.wait()


def test_a_command_that_joins_by_a_printed_invite_takes_its_network(root: Path) -> None:
    bee = begin(root, "join", "--name", "bee", "--network", "orchard", "--without-models", "--no-multicast",
                "--listen=/ip4/127.0.0.1/tcp/0", out=root / "bee")  # fmt: skip
    wasp = None
    try:
        until(lambda: "others join with:" in (root / "bee").read_text(), PATIENCE_SECONDS, "bee is up")
        words = (root / "bee").read_text().split("others join with:  waggle ")[1].splitlines()[0]
        more = "--name wasp --without-models --no-multicast --listen=/ip4/127.0.0.1/tcp/0"
        wasp = begin(root, "-f", "-c", f'set -f; exec "$0" -m waggle {words} {more}', WAGGLE[0],
                     out=root / "wasp", command=("bash",))  # fmt: skip
        until(lambda: "wasp is up" in (root / "wasp").read_text(), PATIENCE_SECONDS, "wasp is up")
        found = until(NodeHome(root, "wasp").running, PATIENCE_SECONDS, "wasp takes commands")
        assert found.network == "orchard"
    finally:
        send(signal.SIGKILL, *processes_of(root))
        bee.wait()
        if wasp is not None:
            wasp.wait()


def test_ctrl_c_while_nodes_start_ends_them_at_once(root: Path) -> None:
    """They would come up first, a wait of many seconds, before they heard of it."""
    slow = [word for _ in range(6) for word in ("--engine", "hive:acacia")]
    command = begin(root, "up", "--nodes", "6", *slow, out=root / "out")
    try:
        until(lambda: len(processes_of(root)) >= 3, PATIENCE_SECONDS, "one has begun")
        began = time.monotonic()
        command.send_signal(signal.SIGINT)
        assert command.wait(AT_ONCE_SECONDS) == 130
        assert time.monotonic() - began < 8.0
        assert not processes_of(root)
        assert (root / "out").read_text().endswith("all nodes have ended\nwaggle: interrupted\n")
    finally:
        send(signal.SIGKILL, command.pid, *processes_of(root))
        command.wait()
