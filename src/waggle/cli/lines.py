"""Lines of standard input as they come, without a thread that nobody could end: terminal, pipe, file or /dev/null.

The descriptor stays as it is: made non-blocking, it would be so for the shell and for our own output, too.
"""

import asyncio
import os
import sys

CHUNK_BYTES = 65_536


class Lines:
    """Reads lines from a file descriptor; what is longer than `most_bytes` is cut there."""

    def __init__(self, descriptor: int, most_bytes: int) -> None:
        self._descriptor = descriptor
        self._most_bytes = most_bytes
        self._unread = b""
        self._ended = False

    async def next(self) -> str | None:
        """The next line without its end; None where there is none any more. May be cancelled at any time."""
        while b"\n" not in self._unread and not self._ended:
            await self._read()
        line, _, self._unread = self._unread.partition(b"\n")
        if not line and self._ended and not self._unread:
            return None
        return line[: self._most_bytes].decode(errors="replace")

    async def _read(self) -> None:
        await _readable(self._descriptor)
        data = os.read(self._descriptor, CHUNK_BYTES)
        self._ended = not data
        line, end, rest = data.partition(b"\n")
        self._unread = (self._unread + line)[: self._most_bytes] + end + rest


async def _readable(descriptor: int) -> None:
    """Wait until there is something to read, or the end; a file always has one of them."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
    except PermissionError:  # of a file or /dev/null, which the system will not watch
        return
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


def standard_input() -> int:
    """Its descriptor; that of nothing to read where it is closed."""
    try:
        return os.open(os.devnull, os.O_RDONLY) if sys.stdin is None else sys.stdin.fileno()
    except (OSError, ValueError):
        return os.open(os.devnull, os.O_RDONLY)
