"""The daemon as a child process: start it, know when it is ready, end it.

The daemon ends by itself when its last connection for calls does, or when none is opened in time; so it does not
outlive us even where we are killed.
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from waggle.core.errors import PeerUnreachable
from waggle.mesh.libp2p.p2pd import wire

START_SECONDS = 10.0
STOP_SECONDS = 2.0
LINES_KEPT = 20
READY = b"Peer ID:"
LOGGER = logging.getLogger(__name__)


class Process:
    """A running daemon."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        """Of a child whose standard output is a pipe; `launch` makes it."""
        self._child = child
        self._lines: deque[bytes] = deque(maxlen=LINES_KEPT)
        self._ready = asyncio.Event()
        self._reader = asyncio.create_task(self._read_output())

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    @classmethod
    async def launch(cls, arguments: Sequence[str]) -> "Process":
        """Start the daemon with these options and wait until it listens.

        Raises PeerUnreachable, with the daemon's last words, if it ends or is not ready within START_SECONDS.
        """
        program = wire.package_folder() / "hivemind_cli" / "p2pd"
        environment = os.environ | {"GOLOG_LOG_LEVEL": "error", "GOLOG_LOG_FMT": "json"}
        if "-relayService=1" in arguments:
            environment["GOMAXPROCS"] = "1"  # with one thread the relay service with our limits comes up, not the other
        try:  # a process group of its own keeps Ctrl-C from it; a session of its own would cost it processor time
            child = await asyncio.create_subprocess_exec(
                program, *arguments, env=environment, process_group=0,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
        except OSError as error:
            raise PeerUnreachable(f"the libp2p daemon {program} cannot be run: {error.strerror}") from None
        process = cls(child)
        try:
            await process._wait_ready()
        except BaseException:
            await process.stop()
            raise
        return process

    async def _wait_ready(self) -> None:
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait({ready, self._reader}, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if not self._ready.is_set():
            said = b" ".join(self._lines).decode(errors="replace")[-500:]
            raise PeerUnreachable(f"the libp2p daemon did not start: {said or 'it said nothing'}")

    async def _read_output(self) -> None:
        assert self._child.stdout is not None
        unfinished = b""
        while data := await self._child.stdout.read(65_536):
            *lines, unfinished = (unfinished + data).split(b"\n")
            unfinished = unfinished[-4096:]
            for line in lines:
                self._note(line[:4096])
        self._note(unfinished)

    def _note(self, line: bytes) -> None:
        if line:
            self._lines.append(line)
            LOGGER.debug("p2pd: %s", line.decode(errors="replace"))
        if line.startswith(READY):
            self._ready.set()

    async def stop(self) -> None:
        """End it, by force after STOP_SECONDS. Twice is harmless."""
        with suppress(ProcessLookupError):
            self._child.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._child.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._child.kill()
            await self._child.wait()
        self._reader.cancel()
        with suppress(asyncio.CancelledError):
            await self._reader
