"""Questions that this node answers for others: each is one round, and its asker may follow it any number of times.

A client that lost its coordinator, or its own link, asks again with the same request id and is told everything from
the start. To anybody else that id means nothing: it opens no round of another's, and takes no name from it. A round
that nobody follows any longer is stopped after a short grace. Finished ones are kept for a while, bounded in number
and bytes.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable

from msgspec.structs import replace

from waggle.core.errors import PeerBusy, RemoteProtocolError
from waggle.core.failures import Cause, failure_of
from waggle.core.ids import NodeId
from waggle.core.round_values import Budget, Event, Record
from waggle.mesh.limits import MAX_FRAME_BYTES
from waggle.mesh.messages import Answered, CannotAnswer, Happened, Message, Planned, PleaseAnswer
from waggle.mesh.packing import encode
from waggle.strategies.machine import Moment, Watch

Answer = Callable[[PleaseAnswer, Watch], Awaitable[Record]]
"""Runs a round for a question."""

GRACE_SECONDS = 5.0
MAX_RUNNING = 64
MAX_RUNNING_PER_ASKER = 16
MAX_KEPT = 256
MAX_KEPT_BYTES = 64 * 1024 * 1024
RETRY_SECONDS = 1.0


class Question:
    """One question and all that has been said about it so far; followers read `log` at their own pace."""

    def __init__(self, asked: PleaseAnswer, asker: NodeId, answer: Answer) -> None:
        self.asked = asked
        self.asker = asker
        self.size = 0
        self._log: list[Message] = []
        self._more = asyncio.Event()
        self._followers = 0
        self._task = asyncio.create_task(self._run(answer))
        self._leaving: asyncio.TimerHandle | None = None

    @property
    def done(self) -> bool:
        """Whether the last word has been said."""
        return self._task.done()

    @property
    def useful(self) -> bool:
        """Whether who asks the same now should follow it: it is under way, or has been answered."""
        return not self.done or (bool(self._log) and isinstance(self._log[-1], Answered))

    async def follow(self) -> AsyncIterator[Message]:
        """Everything said, from the beginning to the end."""
        self._followers += 1
        if self._leaving is not None:
            self._leaving.cancel()
        try:
            told = 0
            while True:
                more = self._more
                for message in self._log[told:]:
                    told += 1
                    yield message
                if self.done and told == len(self._log):
                    return
                if more is self._more:
                    await more.wait()
        finally:
            self._followers -= 1
            if self._followers == 0 and not self.done:
                self._leaving = asyncio.get_running_loop().call_later(GRACE_SECONDS, self._task.cancel)

    async def stop(self) -> None:
        """End the round; followers hear no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, answer: Answer) -> None:
        try:
            record = await answer(self.asked, self._watch)
            self._say(Answered(outcome=record.outcome))
        except Exception as error:  # noqa: BLE001  # a fault of ours must not leave the client waiting; it learns no more
            failure = failure_of(error)
            if failure.cause is Cause.BUSY and failure.retry_after is None:
                failure = replace(failure, retry_after=RETRY_SECONDS)
            self._say(CannotAnswer(failure=failure))
        finally:
            asyncio.get_running_loop().call_soon(self._more.set)  # once `done` is true

    def _watch(self, moment: Moment, event: Event) -> None:
        if not self._log:
            self._say(Planned(plan=moment.plan))
        self._say(Happened(event=event))

    def _say(self, message: Message) -> None:
        self.size += len(encode(message, MAX_FRAME_BYTES))
        self._log.append(message)
        self._more.set()
        self._more = asyncio.Event()


def _untimed(asked: PleaseAnswer) -> PleaseAnswer:
    """The question alone: another coordinator is given what is left of the time."""
    return replace(asked, options=replace(asked.options, budget=Budget()))


class Questions:
    """All questions of this node by asker and request id, those under way and those answered lately."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._known: OrderedDict[tuple[NodeId, str], Question] = OrderedDict()  # the oldest first

    def ask(self, asked: PleaseAnswer, asker: NodeId) -> Question:
        """The asker's question under way, or the new one.

        Raises:
            PeerBusy: too many are under way. RemoteProtocolError: the asker used the request id for another question.
        """
        name = asker, asked.request
        known = self._known.get(name)
        if known is not None and known.useful:
            if _untimed(known.asked) != _untimed(asked):
                raise RemoteProtocolError("this request id belongs to another question")
            return known
        self._make_room(asker)
        question = self._known[name] = Question(asked, asker, self._answer)
        return question

    async def close(self) -> None:
        """Stop every round."""
        await asyncio.gather(*(question.stop() for question in self._known.values()))

    def _make_room(self, asker: NodeId) -> None:
        running = [question for question in self._known.values() if not question.done]
        if len(running) >= MAX_RUNNING or sum(q.asker == asker for q in running) >= MAX_RUNNING_PER_ASKER:
            raise PeerBusy("this node coordinates as many rounds as it can", RETRY_SECONDS)
        finished = [name for name, question in self._known.items() if question.done]
        size = sum(self._known[name].size for name in finished)
        for name in finished:
            if len(self._known) < MAX_KEPT and size <= MAX_KEPT_BYTES:
                return
            size -= self._known.pop(name).size
