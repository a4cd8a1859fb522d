"""A node as a child process of a command: started with settings of its own, ended in good order or by force.

It holds one end of a pipe as its standard input and ends when the other end is gone. What it complains of goes through
us into its node's log; the last line is kept in memory, so that it is known even where the disk is full.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from waggle.core.errors import EngineUnavailable
from waggle.node.config.settings import Settings
from waggle.node.home.home import NodeHome, RunInfo
from waggle.node.running.handover import arguments_of, environment_of

START_SECONDS = 120.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.05
LAST_WORDS_SECONDS = 1.0
MOST_LINE_BYTES = 4096
NOTHING = "it said nothing"


class Child:
    """A node's process; `start` begins it."""

    def __init__(self, settings: Settings, command: Sequence[str] = (sys.executable, "-m", "waggle")) -> None:
        """Start nothing yet; `command` is what is run with `join` and its arguments."""
        self.settings = settings
        self.home = NodeHome(settings.home, settings.name)
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._last_line = NOTHING
        self._is_up = False

    @property
    def fault(self) -> str:
        """Why it does not run; empty while it does, or has not begun."""
        status = None if self._process is None else self._process.returncode
        if status is None:
            return ""
        return f"killed (signal {-status})" if status < 0 else f"ended with status {status}: {self._last_line}"

    async def start(self, invites: Sequence[str]) -> None:
        """Begin it; it is to join at these."""
        self.home.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._process = process = await asyncio.create_subprocess_exec(
            *self._command,
            *("join", *invites, "--with-parent", *arguments_of(self.settings)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            env=environment_of(self.settings.home, os.environ),
        )
        if process.stderr is not None:
            self._reading = asyncio.create_task(self._read(process.stderr), name=f"log of {self.home.name}")

    async def _read(self, words: asyncio.StreamReader) -> None:
        """Keep a log of all that it says, as far as there is room, and the last line in any case."""
        unfinished = b""
        while data := await words.read(MOST_LINE_BYTES):
            with suppress(OSError), self.home.log.open("ab") as log:
                log.write(data)
            *lines, unfinished = (unfinished + data).split(b"\n")
            unfinished = unfinished[:MOST_LINE_BYTES]
            for line in lines:
                self._note(line)
        self._note(unfinished)

    def _note(self, line: bytes) -> None:
        if text := line[:MOST_LINE_BYTES].decode(errors="replace").strip():
            self._last_line = text.removeprefix("waggle: ")

    async def until_up(self) -> RunInfo:
        """Wait until it serves. Raises EngineUnavailable where it ends or hangs instead."""
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                while not self.fault:
                    info = self.home.running()
                    if info is not None and self._process is not None and info.pid == self._process.pid:
                        self._is_up = True
                        return info
                    await asyncio.sleep(POLL_SECONDS)
        await self._hear_out()
        raise EngineUnavailable(f"node {self.home.name} did not start: {self.fault or 'no sign of it in time'}")

    async def stop(self) -> None:
        """End it: one that is up by asking, another one by SIGTERM, and by force what does not end in time."""
        process = self._process
        if process is None:
            return
        with suppress(ProcessLookupError):
            if not self._is_up:
                process.send_signal(signal.SIGTERM)
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            await process.wait()
        await self._hear_out()

    async def _hear_out(self) -> None:
        """What it said last may still be under way; what it left behind may hold the pipe."""
        if self._reading is not None and self.fault:
            await asyncio.wait({self._reading}, timeout=LAST_WORDS_SECONDS)
            self._reading.cancel()
