"""One call over the simulated network, as its caller and its server see it."""

import asyncio
import logging
from functools import partial

from waggle.core.errors import LocalProtocolError, MeshError, PeerBusy, PeerSilent, PeerUnreachable, RemoteProtocolError
from waggle.mesh.limits import MAX_CALL_BYTES
from waggle.mesh.memory.links import End
from waggle.mesh.memory.wires import Wires
from waggle.mesh.transport import Refusal, error_of

HEADER_BYTES = 64
"""What a message takes on the wire beside its content."""

Tasks = dict[asyncio.Task[bytes] | asyncio.Task[None], None]
"""The handlers at work, in the order they began."""

log = logging.getLogger(__name__)


class Asked:
    """A question on its way: answered, lost with its link, out of time, or withdrawn by its caller."""

    __slots__ = ("_bound", "_future", "_wires", "end", "served", "withdrawn")

    def __init__(self, wires: Wires, end: End, seconds: float) -> None:
        """Begin to wait; the bound counts from now."""
        loop = asyncio.get_running_loop()
        self.end = end
        self.withdrawn = False
        self.served: Served | None = None
        self._wires = wires
        self._future: asyncio.Future[bytes | MeshError] = loop.create_future()
        self._bound = wires.agenda.at(loop.time() + seconds, self._expire)
        end.work[self] = None

    async def outcome(self) -> bytes:
        """The reply. Raises the MeshError that came in its place; withdraws the question where nothing came."""
        try:
            outcome = await self._future
        except asyncio.CancelledError:
            self._withdraw()
            raise
        finally:
            self._wires.agenda.cancel(self._bound)
            self.end.work.pop(self, None)
        if isinstance(outcome, MeshError):
            raise outcome
        return outcome

    def answer(self, outcome: bytes | Refusal) -> None:
        """The server's answer has arrived."""
        self._settle(error_of(outcome) if isinstance(outcome, Refusal) else outcome)

    def broke(self) -> None:
        """No answer can come any more."""
        self._settle(PeerUnreachable(f"the link to {self.end.peer} was lost"))

    def _expire(self) -> None:
        if not self._future.done():
            self._withdraw()
            self._settle(PeerSilent(f"no answer from {self.end.peer} in time"))

    def _settle(self, outcome: bytes | MeshError) -> None:
        if not self._future.done():
            self._future.set_result(outcome)

    def _withdraw(self) -> None:
        if self.end.open:
            self._wires.carry(self.end.twin.peer, self.end.peer, HEADER_BYTES, self._withdrawn, self._withdrawn)

    def _withdrawn(self) -> None:
        self.withdrawn = True
        if self.served is not None:
            self.served.stop()


class Served:
    """A call being worked on: its handler's task, stopped when the caller withdraws or the link breaks."""

    __slots__ = ("_asked", "_protocol", "_task", "_tasks", "_wires", "end")

    def __init__(self, wires: Wires, asked: Asked, protocol: str, task: asyncio.Task[bytes], tasks: Tasks) -> None:
        """Be in `tasks` until the task is done, then answer."""
        self.end = asked.end.twin
        self._asked = asked
        self._protocol = protocol
        self._task = task
        self._tasks = tasks
        tasks[task] = None
        self._wires = wires
        self.end.work[self] = None
        asked.served = self
        task.add_done_callback(self._done)

    def broke(self) -> None:
        """The caller is gone."""
        self.stop()

    def stop(self) -> None:
        """Cancel the handler, once; not where the handler itself hangs up."""
        if not self._task.cancelling() and self._task is not asyncio.current_task():
            self._task.cancel()

    def _done(self, task: asyncio.Task[bytes]) -> None:
        del self._tasks[task]
        self.end.work.pop(self, None)
        self._asked.served = None
        outcome = reply_of(task, self._protocol)
        if self.end.open and not self._asked.withdrawn:
            post_answer(self._wires, self._asked, outcome)


def within_limit(reply: bytes) -> bytes:
    """A handler's reply; too large a one is our own fault."""
    if len(reply) > MAX_CALL_BYTES:
        raise LocalProtocolError(f"a reply of {len(reply)} bytes is over the limit of {MAX_CALL_BYTES}")
    return reply


def post_answer(wires: Wires, asked: Asked, outcome: bytes | Refusal) -> None:
    """Send a call's reply or refusal to its caller; it may get lost."""
    size = HEADER_BYTES + (0 if isinstance(outcome, Refusal) else len(outcome))
    wires.post(asked.end.peer, asked.end.twin.peer, size, partial(asked.answer, outcome))


def carry_answer(wires: Wires, asked: Asked, outcome: bytes | Refusal) -> None:
    """Tell the opener of a stream whether it was taken."""
    arrive = partial(asked.answer, outcome)
    wires.carry(asked.end.peer, asked.end.twin.peer, HEADER_BYTES, arrive, asked.end.sever)


def reply_of(task: asyncio.Task[bytes], protocol: str) -> bytes | Refusal:
    """What a handler's finished task tells its caller."""
    refusal = refusal_of(task, protocol)
    return task.result() if refusal is Refusal.NONE else refusal


def refusal_of(task: asyncio.Task[bytes] | asyncio.Task[None], protocol: str) -> Refusal:
    """What the caller learns of a handler's failure; the failure itself stays in our log."""
    error = None if task.cancelled() else task.exception()
    match error:
        case None:
            return Refusal.FAILED if task.cancelled() else Refusal.NONE
        case PeerBusy():
            return Refusal.BUSY
        case RemoteProtocolError():
            return Refusal.MALFORMED
        case _:
            log.warning("the handler of %s failed", protocol, exc_info=error)
            return Refusal.FAILED
