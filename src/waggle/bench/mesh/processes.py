"""The processes of the mesh bench, seen from outside: started, given orders, ended. Every wait has a bound."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from tempfile import TemporaryFile
from typing import IO, TypeVar

import msgspec

from waggle.bench.mesh.values import Figure, Order, Serving
from waggle.core.errors import PeerUnreachable

START_SECONDS, END_SECONDS, SLACK_SECONDS = 120.0, 10.0, 30.0
QUIET = {"RUST_LOG": "off", "HIVEMIND_LOGLEVEL": "CRITICAL", "GRPC_VERBOSITY": "NONE"}
LAST_WORDS = 400

Client = Callable[[Order], Awaitable[Figure]]
T = TypeVar("T")


@asynccontextmanager
async def start_server(module: str) -> AsyncIterator[str]:
    """Start a subject's server; gives its address. Raises PeerUnreachable where it fails or takes too long."""
    async with _peer(module) as (_, address):
        yield address


@asynccontextmanager
async def start_client(module: str, address: str) -> AsyncIterator[Client]:
    """Start a subject's client; gives what carries out orders, one at a time. Raises PeerUnreachable, as that does."""
    async with _peer(module, address) as (peer, _):

        async def obey(order: Order) -> Figure:
            return await peer.ask(order)

        yield obey


class _Peer:
    def __init__(self, module: str, process: Process, errors: IO[bytes]) -> None:
        self._module, self._process, self._errors = module, process, errors

    async def ask(self, order: Order) -> Figure:
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        return await self.hear(Figure, order.seconds + SLACK_SECONDS)

    async def hear(self, kind: type[T], seconds: float) -> T:
        """The next line that it says."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(seconds):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise PeerUnreachable(f"{self._module} said nothing within {seconds:g} s{self._last_words()}") from None
        if not line:
            raise PeerUnreachable(f"{self._module} ended{self._last_words()}")
        try:
            return msgspec.json.decode(line, type=kind)
        except msgspec.MsgspecError:
            raise PeerUnreachable(f"{self._module} said {line[:LAST_WORDS]!r}") from None

    def _last_words(self) -> str:
        self._errors.seek(0)
        words = self._errors.read()[-LAST_WORDS:].decode(errors="replace").strip()
        return f": {words}" if words else ""


@asynccontextmanager
async def _peer(*arguments: str) -> AsyncIterator[tuple[_Peer, str]]:
    command = (sys.executable, "-m", "waggle.bench.mesh.peer", *arguments)
    with TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=errors, env=os.environ | QUIET
        )
        try:
            peer = _Peer(arguments[0], process, errors)
            yield peer, (await peer.hear(Serving, START_SECONDS)).address
        finally:
            await _end(process)


async def _end(process: Process) -> None:
    """Its input ends, so it ends; killed if it does not."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(END_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
