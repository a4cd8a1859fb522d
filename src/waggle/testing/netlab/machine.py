"""One host of a lab, and the agent on it: a Python process that does what it is told, one JSON line each way."""

import asyncio
import itertools
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from waggle.core.errors import WaggleError
from waggle.testing.netlab import namespaces
from waggle.testing.netlab.orders import Answer, Order, Task

T = TypeVar("T")
ORDER_SECONDS = 60.0
"""How long an agent may take for an order, unless more is granted."""
MAX_LINE_BYTES = 16 * 1024 * 1024


class AgentFailed(WaggleError):
    """The order could not be carried out; the text begins with the name of the error that the agent met."""


class Machine:
    """A namespace to run programs in; the agent starts with the first order."""

    def __init__(self, namespace: str, address: str, folder: Path, wire: tuple[str, str]) -> None:
        """Of a namespace that exists.

        Args:
            namespace: its name.
            address: its IPv4 address.
            folder: for the agent's keys and sockets.
            wire: namespace and interface at the other end of its one wire.
        """
        self.namespace = namespace
        self._wire = wire
        self._folder = folder
        self.address = address
        self._child: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._numbers = itertools.count(1)

    async def ask(self, order: Order, result: type[T], *, seconds: float = ORDER_SECONDS) -> T:
        """Have the agent do something, several at once if you like.

        Args:
            order: what to do.
            result: the type of what comes back.
            seconds: how long to wait.

        Raises:
            AgentFailed: it could not, did not in time, or its process is gone.
        """
        child = await self._started()
        assert child.stdin is not None
        number = next(self._numbers)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                child.stdin.write(msgspec.json.encode(Task(number, order)) + b"\n")
                await child.stdin.drain()
                answer = await future
        except (TimeoutError, ConnectionError):
            raise AgentFailed(f"{type(order).__name__} on {self.namespace}: no answer in {seconds:g} s") from None
        finally:
            del self._waiting[number]
        if answer.error:
            raise AgentFailed(answer.error)
        return msgspec.json.decode(answer.value, type=result)

    async def cut_power(self) -> None:
        """Kill everything here without a word to anybody; a later order starts anew."""
        where, interface = self._wire
        await namespaces.configure(where, [f"link set {interface} down"])
        await self.kill()
        await namespaces.configure(where, [f"link set {interface} up"])

    async def kill(self) -> None:
        """Kill the agent and every other process here; what dies last may still say goodbye to its peers."""
        if self._child is not None:
            with suppress(ProcessLookupError):  # not `Popen.kill`: it would take the exit status from the event loop
                os.kill(self._child.pid, signal.SIGKILL)
        await namespaces.kill_all(self.namespace)
        if self._child is not None:
            await self._child.wait()
            self._child = None
        if self._reader is not None:
            await self._reader
            self._reader = None

    async def _started(self) -> asyncio.subprocess.Process:
        if self._child is None:
            command = namespaces.inside(
                self.namespace, sys.executable, "-m", "waggle.testing.netlab.agent", str(self._folder)
            )
            self._folder.mkdir(mode=0o700, exist_ok=True)
            pipe = asyncio.subprocess.PIPE
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            self._child = await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=pipe, env=environment, limit=MAX_LINE_BYTES
            )
            self._reader = asyncio.create_task(self._read(self._child))
        return self._child

    async def _read(self, child: asyncio.subprocess.Process) -> None:
        assert child.stdout is not None
        while line := await child.stdout.readline():
            answer = msgspec.json.decode(line, type=Answer)
            self._settle(answer.number, answer)
        for number in list(self._waiting):
            self._settle(number, Answer(number, error="AgentFailed: the agent's process is gone"))

    def _settle(self, number: int, answer: Answer) -> None:
        future = self._waiting.get(number)
        if future is not None and not future.done():
            future.set_result(answer)
