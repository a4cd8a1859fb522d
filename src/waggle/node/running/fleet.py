"""Several nodes of one swarm on this machine, each its own process; all end with whoever started them.

Every child holds one end of a pipe as its standard input and ends when the other end is gone, so that not even kill -9
of the parent leaves one behind. What a child complains of goes to its node's own log.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from waggle.core.errors import EngineUnavailable, WaggleError
from waggle.mesh.invite import format_invite
from waggle.node.control.client import ask_node
from waggle.node.control.messages import Status, StatusReply
from waggle.node.home.home import NodeHome, RunInfo

START_SECONDS = 120.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.05
STATUS_SECONDS = 1.0
LAST_LINES_BYTES = 4096


class Member(Struct, frozen=True, kw_only=True):
    """One node of the fleet as it is now; `status` None while it does not answer, `fault` empty while it runs."""

    name: str
    models: str
    status: StatusReply | None = None
    fault: str = ""


class _Child:
    """A node's process; `engines` are what `--engine` takes."""

    def __init__(self, home: NodeHome, engines: Sequence[str]) -> None:
        self.home = home
        self.engines = engines
        self.process: asyncio.subprocess.Process | None = None

    @property
    def fault(self) -> str:
        """Why it does not run; empty while it does, or has not begun."""
        if self.process is None or self.process.returncode is None:
            return ""
        return f"ended with status {self.process.returncode}: {_last_line(self.home.log)}"

    async def start(self, root: Path, network: str, invites: Sequence[str], options: Sequence[str]) -> None:
        self.home.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        command = [sys.executable, "-m", "waggle", "join", *invites, "--with-parent"]
        command += ["--no-multicast", "--no-remember", "--name", self.home.name, "--network", network, *options]
        for engine in self.engines:
            command += ["--engine", engine]
        with self.home.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                env=os.environ | {"WAGGLE_HOME": str(root)},
            )

    async def until_up(self) -> RunInfo:
        """Wait until it serves. Raises EngineUnavailable where it ends or hangs instead."""
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                while not self.fault:
                    info = self.home.running()
                    if info is not None and self.process is not None and info.pid == self.process.pid:
                        return info
                    await asyncio.sleep(POLL_SECONDS)
        raise EngineUnavailable(f"node {self.home.name} did not start: {self.fault or 'no sign of it in time'}")

    async def stop(self) -> None:
        """End it: first by asking, then by force."""
        if self.process is None:
            return
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self.process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGKILL)
            await self.process.wait()


class Fleet:
    """The nodes that one command runs."""

    def __init__(
        self,
        root: Path,
        network: str,
        nodes: Sequence[tuple[str, Sequence[str]]],
        options: Sequence[str],
        first_options: Sequence[str] = (),
    ) -> None:
        """Start nothing yet.

        Args:
            root: the user's folder.
            nodes: of each its name and its engines.
            options: further flags of `waggle join`, for all.
            first_options: and for the first one alone.
        """
        self._root = root
        self._network = network
        self._options = options
        self._first_options = first_options
        self._children = [_Child(NodeHome(root, name), engines) for name, engines in nodes]

    async def start(self, tell: Callable[[str, int], None]) -> RunInfo:
        """Bring all up, the first one before the others; gives what the first one says of itself.

        Args:
            tell: hears of each node that is up, and how many are.

        Raises:
            EngineUnavailable: one did not start; says why. Those that run are left to `stop`.
        """
        first, *others = self._children
        await first.start(self._root, self._network, (), [*self._options, *self._first_options])
        info = await first.until_up()
        invite = format_invite(info.addresses, self._network)
        tell(first.home.name, 1)
        for child in others:
            await child.start(self._root, self._network, (invite,), self._options)
        for count, child in enumerate(others, start=2):
            await child.until_up()
            tell(child.home.name, count)
        return info

    def invites(self) -> list[str]:
        """One to each node that runs."""
        found = (child.home.running() for child in self._children)
        return [format_invite(info.addresses, self._network) for info in found if info is not None]

    def faults(self) -> dict[str, str]:
        """Why each node that has ended did so, by name."""
        return {child.home.name: child.fault for child in self._children if child.fault}

    async def look(self) -> list[Member]:
        """All nodes as they are now."""
        return list(await asyncio.gather(*(self._look_at(child) for child in self._children)))

    async def _look_at(self, child: _Child) -> Member:
        status = None
        if not child.fault:
            with suppress(WaggleError, OSError):
                status = await ask_node(child.home.control_path(), Status(), StatusReply, seconds=STATUS_SECONDS)
        models = ", ".join(engine.rpartition("/")[2].removeprefix("hive:") for engine in child.engines)
        return Member(name=child.home.name, models=models, status=status, fault=child.fault)

    async def stop(self) -> None:
        """End all; no process is left when this returns."""
        await asyncio.gather(*(child.stop() for child in self._children))


def _last_line(log: Path) -> str:
    """What a child said last."""
    with suppress(OSError):
        text = log.read_bytes()[-LAST_LINES_BYTES:].decode(errors="replace").strip()
        return text.splitlines()[-1] if text else "it said nothing"
    return "it said nothing"
