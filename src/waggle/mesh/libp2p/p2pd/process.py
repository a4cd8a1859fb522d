"""The daemon as a child process: start it, know when it is ready, end it.

The daemon ends by itself when its last connection for calls does, or when none is opened in time; so it does not
outlive us even where we are killed.
"""

import asyncio
import logging
import os
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress

from waggle.core.errors import PeerUnreachable
from waggle.mesh.libp2p.p2pd import wire

START_SECONDS = 10.0
STOP_SECONDS = 2.0
LINES_KEPT = 20
READY = b"Peer ID:"
GARBAGE = {"GOGC": "400", "GOMEMLIMIT": "96MiB"}
"""How seldom the daemon collects garbage: 7 % more calls a second, for 113 MB under load instead of 89."""
LOGGER = logging.getLogger(__name__)


class Process:
    """A running daemon. `subprocess` starts it, since not every event loop can start one in a group of its own."""

    def __init__(
        self, child: subprocess.Popen[bytes], output: asyncio.StreamReader, pipe: asyncio.ReadTransport
    ) -> None:
        """Of a child and its standard output; `launch` makes it."""
        self._child = child
        self._pipe = pipe
        self._lines: deque[bytes] = deque(maxlen=LINES_KEPT)
        self._ready = asyncio.Event()
        self._reader = asyncio.create_task(self._read_output(output))

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
        environment = GARBAGE | os.environ | {"GOLOG_LOG_LEVEL": "error", "GOLOG_LOG_FMT": "json"}
        if "-relayService=1" in arguments:
            environment["GOMAXPROCS"] = "1"  # with one thread the relay service with our limits comes up, not the other
        starting = asyncio.create_task(cls._start([str(program), *arguments], environment))
        try:
            process = await asyncio.shield(starting)
        except OSError as error:
            raise PeerUnreachable(f"the libp2p daemon {program} cannot be run: {error.strerror}") from None
        except asyncio.CancelledError:  # a child that nobody knows of would be nobody's to end
            with suppress(OSError):
                await (await starting).stop()
            raise
        try:
            await process._wait_ready()
        except BaseException:
            await process.stop()
            raise
        return process

    @classmethod
    async def _start(cls, command: Sequence[str], environment: Mapping[str, str]) -> "Process":
        child = await asyncio.to_thread(_spawn, command, environment)
        return cls(child, *await _reading(child))

    async def _wait_ready(self) -> None:
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait({ready, self._reader}, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if not self._ready.is_set():
            said = b" ".join(self._lines).decode(errors="replace")[-500:]
            raise PeerUnreachable(f"the libp2p daemon did not start: {said or 'it said nothing'}")

    async def _read_output(self, output: asyncio.StreamReader) -> None:
        unfinished = b""
        while data := await output.read(65_536):
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
        self._child.terminate()
        try:
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._child.wait, STOP_SECONDS)
        finally:  # also where we are cancelled: a child that is not waited for stays a zombie
            self._child.kill()
            self._child.wait()
        self._reader.cancel()
        with suppress(asyncio.CancelledError):
            await self._reader
        self._pipe.close()


def _spawn(command: Sequence[str], environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """A process group of its own keeps Ctrl-C from it; a session of its own would cost it processor time."""
    return subprocess.Popen(
        command, env=environment, process_group=0,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


async def _reading(child: subprocess.Popen[bytes]) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    """The child's standard output, to be read without blocking."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), child.stdout)
    return reader, pipe
