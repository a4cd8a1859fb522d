"""Processes of a bench, seen from outside: started, heard, ended. Every wait has a bound."""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from tempfile import TemporaryFile
from typing import IO

from waggle.core.errors import PeerUnreachable

START_SECONDS, END_SECONDS = 120.0, 10.0
LAST_WORDS = 600


class Peer:
    """A process at work, and what it wrote to its standard error."""

    def __init__(self, process: Process, errors: IO[bytes]) -> None:
        """Of a process whose standard error goes to this file."""
        self.process, self._errors = process, errors

    def fault(self, what: str) -> PeerUnreachable:
        """What went wrong, with its last words."""
        self._errors.seek(0)
        words = self._errors.read()[-LAST_WORDS:].decode(errors="replace").strip()
        return PeerUnreachable(f"{what}: {words}" if words else what)

    async def line(self, seconds: float = START_SECONDS) -> bytes:
        """The next line that it says; empty at its end. Raises PeerUnreachable where it says nothing for so long."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(seconds):
                return await self.process.stdout.readline()
        except TimeoutError:
            raise self.fault(f"it said nothing within {seconds:g} s") from None

    async def has_ended(self) -> bool:
        """Wait for its end, for END_SECONDS at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self.process.wait()
        return self.process.returncode is not None


@asynccontextmanager
async def running(
    *command: str, more: Mapping[str, str], heard: bool = True, minds_its_input: bool = False
) -> AsyncIterator[Peer]:
    """Run a command until the block ends; its standard input stays open as long.

    Args:
        command: the program and its arguments.
        more: variables of its environment besides ours.
        heard: whether it says anything that is waited for.
        minds_its_input: whether it ends by itself, and in good order, when its standard input does.
    """
    with TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE,
            stdout=PIPE if heard else DEVNULL,
            stderr=errors,
            env={**os.environ, **more},
            start_new_session=True,
        )
        peer = Peer(process, errors)
        try:
            yield peer
        finally:
            await _end(peer, minds_its_input)


async def _end(peer: Peer, minds_its_input: bool) -> None:
    """Ask it to end; kill it, and whatever it started, where it does not."""
    assert peer.process.stdin is not None
    peer.process.stdin.close()
    if minds_its_input and await peer.has_ended():
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(peer.process.pid, number)
        if await peer.has_ended():
            return
