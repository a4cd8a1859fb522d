"""Asks a swarm from outside: any node will do, and when it dies another one is asked the same question.

Nothing is believed that can be checked: every event is replayed as it comes, and an outcome that does not follow from
the events is refused. Of the events themselves only the coordinator knows whether they happened.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace

from waggle.core.asking import AskOptions
from waggle.core.errors import (
    MeshError,
    PeerBusy,
    PeerUnreachable,
    RemoteProtocolError,
    WaggleError,
)
from waggle.core.failures import error_of
from waggle.core.ids import NodeId
from waggle.core.round_values import Event, Plan, Record
from waggle.mesh.channel import SignedChannel
from waggle.mesh.messages import (
    ASK_PROTOCOL,
    Answered,
    CannotAnswer,
    Happened,
    Planned,
    PleaseAnswer,
)
from waggle.mesh.transport import Transport
from waggle.node.chance import draw
from waggle.node.peers.fit import is_fit
from waggle.node.peers.heartbeat import Hearing
from waggle.strategies.machine import Moment, Watch
from waggle.strategies.ways import begin
from waggle.trust.keys import NodeKey

Reach = Callable[[NodeId], Awaitable[None]]
"""Makes a link to a node, in a bounded time. Raises MeshError."""

OPEN_SECONDS = 5.0
PAUSE_SECONDS = 0.5  # before the same nodes are asked once more
MAX_FULL = 3  # nodes without room, after which the others are not asked either: each asks the whole swarm
LEAST_SECONDS = 0.5  # less time than this is not worth another try
SPARE_SECONDS = 2.0  # beyond the budget, in which the coordinator ends the round: for its last word to arrive


def request_of(question: str, options: AskOptions, request: str | None = None) -> PleaseAnswer:
    """A question as it travels, with a request id of its own where none is given."""
    return PleaseAnswer(request=request or secrets.token_hex(16), question=question, options=options)


def within(asked: PleaseAnswer, seconds: float) -> PleaseAnswer:
    """The same question with so much time."""
    budget = replace(asked.options.budget, seconds=seconds)
    return replace(asked, options=replace(asked.options, budget=budget))


class Client:
    """Asks through a transport that others serve on."""

    def __init__(self, transport: Transport, key: NodeKey, reach: Reach | None = None) -> None:
        """Ask as the owner of `key`; `reach` makes a link to a node where the transport alone may know no way."""
        self._transport = transport
        self._key = key
        self._reach = reach

    async def ask(self, nodes: Sequence[NodeId], asked: PleaseAnswer, watch: Watch | None = None) -> Record:
        """Ask the first of these nodes that answers, within the question's own budget of seconds and SPARE_SECONDS.

        A node that dies on the way is replaced by the next one, with the same request id: what the swarm has done for
        it already is not done again. Where the swarm is full, it is asked again when it says that there will be room.

        Raises:
            EngineError: a node said why it cannot answer. PeerUnreachable: none of them could be reached in time.
            PeerBusy: there was no room all the time; says when to come again.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + asked.options.budget.seconds
        brief = asked.options.budget.seconds < LEAST_SECONDS
        why = f"less than {LEAST_SECONDS} s is no time to ask anybody in" if brief else "there is no node to ask"
        last: WaggleError = PeerUnreachable(why)
        while nodes:
            full: list[PeerBusy] = []
            for node in nodes:
                left = ends - loop.time()
                if left < LEAST_SECONDS or len(full) == MAX_FULL:
                    break
                try:
                    return await self._ask_one(node, within(asked, left), watch)
                except TimeoutError:
                    last = PeerUnreachable(f"{node} has given no answer in time, only signs of life")
                except PeerBusy as error:
                    full.append(error)
                except (MeshError, RemoteProtocolError) as error:
                    last = error
            last = _no_room(full) if full else last
            pause = _pause(full)
            if ends - loop.time() < pause + LEAST_SECONDS:
                raise last
            await asyncio.sleep(pause)
        raise last

    async def _ask_one(self, node: NodeId, asked: PleaseAnswer, watch: Watch | None) -> Record:
        """Raises TimeoutError where the node goes on without a last word; the way to it is no part of its time."""
        now = asyncio.get_running_loop().time
        ends = now() + asked.options.budget.seconds
        if self._reach is not None:
            await self._reach(node)
        stream = await self._transport.open(node, ASK_PROTOCOL, seconds=min(OPEN_SECONDS, asked.options.budget.seconds))
        channel = SignedChannel(stream, self._key, asked.request)
        try:
            asked = within(asked, max(0.0, ends - now()))
            async with asyncio.timeout(asked.options.budget.seconds + SPARE_SECONDS):
                await channel.send(asked)
                return await _listen(Hearing(channel), node, asked, watch)
        finally:
            await channel.close()


def _no_room(full: Sequence[PeerBusy]) -> PeerBusy:
    """The one that lets us come again first, and when that is."""
    soonest = min(full, key=lambda error: error.retry_after or 0.0)
    return PeerBusy(f"{soonest}: {soonest.advice}", soonest.retry_after)


def _pause(full: Sequence[PeerBusy]) -> float:
    """Seconds until another try is worth it."""
    return max(PAUSE_SECONDS, min((error.retry_after or 0.0 for error in full), default=0.0))


async def _listen(hearing: Hearing, node: NodeId, asked: PleaseAnswer, watch: Watch | None) -> Record:
    """Replay the round as it is told, and give its record."""
    moment: Moment | None = None
    events: list[Event] = []
    while (message := await hearing.next()) is not None:
        match message:
            case CannotAnswer():
                raise error_of(message.failure)
            case Planned() if moment is None and is_fit(message.plan, asked):
                moment = _begun(message.plan, node)
            case Happened() if moment is not None and moment.outcome is None:
                moment = _after(moment, message.event, node)
                events.append(message.event)
                if watch is not None:
                    watch(moment, message.event)
            case Answered() if moment is not None and moment.outcome == message.outcome:
                return Record(plan=moment.plan, events=tuple(events), outcome=message.outcome)
            case _:
                raise RemoteProtocolError(f"{node}: what it tells of the round does not fit together")
    raise PeerUnreachable(f"{node} left before the round was over")


def _begun(plan: Plan, node: NodeId) -> Moment:
    try:
        return begin(plan)
    except WaggleError as error:
        raise RemoteProtocolError(f"{node}: its round cannot be followed: {error}") from error


def _after(moment: Moment, event: Event, node: NodeId) -> Moment:
    try:
        return moment.after(event, draw)[0]
    except WaggleError as error:
        raise RemoteProtocolError(f"{node}: an event of its round is against the rules: {error}") from error
