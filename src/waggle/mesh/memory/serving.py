"""What one node serves on the simulated network: its handlers, their tasks, and the limits on its callers."""

import asyncio
from functools import partial

from waggle.core.errors import LocalProtocolError
from waggle.core.ids import NodeId
from waggle.mesh.memory.calls import Asked, Served, Tasks, carry_answer, post_answer, refusal_of, within_limit
from waggle.mesh.memory.stream import MemoryStream
from waggle.mesh.memory.wires import Wires
from waggle.mesh.quotas import PeerQuotas
from waggle.mesh.transport import CallHandler, Refusal, StreamHandler


class Serving:
    """Every call and stream that comes in runs as a task of its own, within the caller's limits."""

    __slots__ = ("_call_handlers", "_quotas", "_stream_handlers", "_tasks", "_wires")

    def __init__(self, wires: Wires) -> None:
        """Serve nothing yet."""
        self._wires = wires
        self._quotas: PeerQuotas | None = None
        self._call_handlers: dict[str, CallHandler] = {}
        self._stream_handlers: dict[str, StreamHandler] = {}
        self._tasks: Tasks = {}

    @property
    def quotas(self) -> PeerQuotas:
        """The limits on those we serve."""
        if self._quotas is None:
            self._quotas = PeerQuotas(asyncio.get_running_loop().time)
        return self._quotas

    def add_calls(self, protocol: str, handler: CallHandler) -> None:
        """Answer the calls of one protocol; a second handler for it is a LocalProtocolError."""
        if protocol in self._call_handlers:
            raise LocalProtocolError(f"calls of {protocol} are served already")
        self._call_handlers[protocol] = handler

    def add_streams(self, protocol: str, handler: StreamHandler) -> None:
        """Take the streams of one protocol; a second handler for it is a LocalProtocolError."""
        if protocol in self._stream_handlers:
            raise LocalProtocolError(f"streams of {protocol} are served already")
        self._stream_handlers[protocol] = handler

    def stop(self) -> None:
        """Cancel every handler at work, save the one that asks for it."""
        for task in self._tasks:
            if not task.cancelling() and task is not asyncio.current_task():
                task.cancel()

    async def ended(self, seconds: float) -> None:
        """Wait until the handlers have ended, `seconds` at most."""
        ending = [task for task in self._tasks if task is not asyncio.current_task()]
        if ending:
            await asyncio.wait(ending, timeout=seconds)

    def take_call(self, asked: Asked, protocol: str, request: bytes) -> None:
        """A call has arrived: work on it, or refuse it."""
        handler = self._call_handlers.get(protocol)
        if handler is None:
            post_answer(self._wires, asked, Refusal.UNKNOWN)
            return
        task = asyncio.get_running_loop().create_task(self._answer(handler, asked.end.twin.peer, request))
        Served(self._wires, asked, protocol, task, self._tasks)

    def take_stream(self, asked: Asked, near: MemoryStream, protocol: str) -> None:
        """A stream has arrived: hand it to its handler, or refuse it."""
        handler = self._stream_handlers.get(protocol)
        if handler is None:
            carry_answer(self._wires, asked, Refusal.UNKNOWN)
            return
        far = MemoryStream(self._wires, asked.end.twin, partial(self.quotas.spend, asked.end.twin.peer))
        task = asyncio.get_running_loop().create_task(self._attend(handler, asked, near, far))
        self._tasks[task] = None
        task.add_done_callback(partial(self._stream_over, asked, far, protocol))

    async def _answer(self, handler: CallHandler, caller: NodeId, request: bytes) -> bytes:
        with self.quotas.call(caller, len(request)):
            return within_limit(await handler(caller, request))

    async def _attend(self, handler: StreamHandler, asked: Asked, near: MemoryStream, far: MemoryStream) -> None:
        with self.quotas.stream(far.peer):
            near.join(far)
            carry_answer(self._wires, asked, b"")
            await handler(far)

    def _stream_over(self, asked: Asked, far: MemoryStream, protocol: str, task: "asyncio.Task[None]") -> None:
        del self._tasks[task]
        refusal = refusal_of(task, protocol)
        if not far.joined:
            carry_answer(self._wires, asked, refusal)
        far.finish()
