"""Runs one round: carries out its effects with the nodes' workers and feeds it what happens.

The only place where the round meets time and concurrency. Every ask is a task of one group; whatever a task raises
becomes an event, so a crashing engine or a lost link costs its share and nothing more. When the round finishes,
everything still running is cancelled and awaited before the record is returned.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress

from msgspec.structs import replace

from waggle.core.carried import counting_waste
from waggle.core.errors import EngineUnavailable, PeerBusy, RemoteProtocolError
from waggle.core.failures import Failure, clipped, failure_of
from waggle.core.ids import NodeId
from waggle.core.round_effects import (
    AskBallot,
    AskProposal,
    AskReveal,
    CancelAll,
    CancelProposal,
    Effect,
    Finish,
    SetTimer,
)
from waggle.core.round_values import (
    BallotFailed,
    BallotReceived,
    DeadlinePassed,
    Event,
    Proposal,
    ProposalCommitted,
    ProposalFailed,
    ProposalReceived,
    Record,
    RoundStarted,
)
from waggle.node.chance import draw
from waggle.node.clock import Clock
from waggle.node.observing.logs import facts, logged_request, request_id
from waggle.node.observing.round_log import log_outcome, log_plan
from waggle.node.rounds.work import Worker
from waggle.strategies.machine import Moment, Watch

log = logging.getLogger(__name__)
CLOSE_SECONDS = 2.0  # for saying goodbye to the workers, after the round


class RoundRunner:
    """One round in progress, from its first moment. `watch` sees every accepted event with the moment it led to."""

    def __init__(
        self, start: Moment, workers: Mapping[NodeId, Worker], clock: Clock, watch: Watch | None = None
    ) -> None:
        self._workers = workers
        self._clock = clock
        self._watch = watch
        self._moment = start
        self._inbox: asyncio.Queue[Event] = asyncio.Queue()
        self._events: list[Event] = []
        self._asks: set[asyncio.Task[None]] = set()
        self._proposing: dict[NodeId, asyncio.Task[None]] = {}
        self._timers: set[asyncio.Task[None]] = set()
        self._started = clock.now()
        self.full: list[PeerBusy] = []
        """What nodes without room for a proposal said."""

    async def run(self) -> Record:
        """Run to the end; at most `plan.budget.seconds`, plus what cancelling takes.

        Raises:
            asyncio.CancelledError: the caller lost interest; all work has been stopped by then.
        """
        plan = self._moment.plan
        with logged_request(request_id() or plan.round_id), counting_waste() as wasted:
            log_plan(plan)
            try:
                await self._play()
            finally:
                self._stop(self._asks | self._timers)
                await self._close_workers()
            assert self._moment.outcome is not None
            log_outcome(plan, self._moment.outcome, self._events)
        return Record(
            plan=plan,
            events=tuple(self._events),
            outcome=self._moment.outcome,
            wasted_tokens=wasted.tokens,
            wasted_prompt_tokens=wasted.prompt_tokens,
        )

    async def _play(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                self._accept(RoundStarted(at=0.0), group)
                while self._moment.outcome is None:
                    self._hear(await self._inbox.get(), group)
                self._stop(self._asks | self._timers)
        except ExceptionGroup as failed:  # no task raises, so it holds one: the machine's
            raise failed.exceptions[0] from failed

    async def _close_workers(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(*(worker.close() for worker in self._workers.values()), return_exceptions=True)

    def _hear(self, event: Event, group: asyncio.TaskGroup) -> None:
        """Apply an event. One that breaks the rules is dropped; whoever was asked for it has failed with it."""
        try:
            self._accept(event, group)
        except RemoteProtocolError as error:
            failure = _failed(event, _failure(error))
            log.info("an answer broke the rules", extra=facts(node=getattr(failure, "node", None)))
            with suppress(RemoteProtocolError):  # nobody was waiting for it
                if failure is not None:
                    self._accept(failure, group)

    def _accept(self, event: Event, group: asyncio.TaskGroup) -> None:
        self._moment, effects = self._moment.after(event, draw)
        self._events.append(event)
        if self._watch is not None:
            self._watch(self._moment, event)
        for effect in effects:
            self._carry_out(effect, group)

    def _carry_out(self, effect: Effect, group: asyncio.TaskGroup) -> None:
        match effect:
            case AskProposal():
                self._proposing[effect.node] = self._keep(self._asks, group.create_task(self._propose(effect)))
            case AskReveal():
                self._proposing[effect.node] = self._keep(self._asks, group.create_task(self._reveal(effect.node)))
            case CancelProposal():
                self._proposing[effect.node].cancel()
            case AskBallot():
                self._keep(self._asks, group.create_task(self._judge(effect)))
            case SetTimer():
                self._keep(self._timers, group.create_task(self._ring(effect)))
            case CancelAll():
                self._stop(self._asks)
            case Finish():
                pass

    def _keep(self, tasks: set[asyncio.Task[None]], task: asyncio.Task[None]) -> asyncio.Task[None]:
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task

    def _stop(self, tasks: set[asyncio.Task[None]]) -> None:
        for task in tuple(tasks):
            task.cancel()

    def _now(self) -> float:
        return self._clock.now() - self._started

    def _worker(self, node: NodeId) -> Worker:
        try:
            return self._workers[node]
        except KeyError:
            raise EngineUnavailable(f"{node} cannot be reached from here") from None

    async def _ring(self, timer: SetTimer) -> None:
        await self._clock.sleep(max(0.0, timer.at - self._now()))
        self._inbox.put_nowait(DeadlinePassed(at=self._now(), phase=timer.phase, node=timer.node))

    async def _propose(self, ask: AskProposal) -> None:
        try:
            made = await self._worker(ask.node).propose(ask)
        except Exception as error:  # noqa: BLE001  # the node's outermost loop: any crash costs only its worker
            log.info("proposal failed", extra=facts(node=ask.node, kind=type(error).__name__))
            if isinstance(error, PeerBusy):
                self.full.append(error)
            self._inbox.put_nowait(ProposalFailed(at=self._now(), node=ask.node, failure=_failure(error)))
        else:
            self._inbox.put_nowait(
                ProposalReceived(at=self._now(), proposal=made)
                if isinstance(made, Proposal)
                else ProposalCommitted(at=self._now(), node=ask.node, promise=made)
            )

    async def _reveal(self, node: NodeId) -> None:
        try:
            made = await self._worker(node).reveal()
        except Exception as error:  # noqa: BLE001  # as above
            log.info("reveal failed", extra=facts(node=node, kind=type(error).__name__))
            self._inbox.put_nowait(ProposalFailed(at=self._now(), node=node, failure=_failure(error)))
        else:
            self._inbox.put_nowait(ProposalReceived(at=self._now(), proposal=made.proposal, nonce=made.nonce))

    async def _judge(self, ask: AskBallot) -> None:
        try:
            ballot = await self._worker(ask.judge).judge(ask)
        except Exception as error:  # noqa: BLE001  # as above
            log.debug("ballot failed", extra=facts(node=ask.judge, kind=type(error).__name__))
            self._inbox.put_nowait(
                BallotFailed(
                    at=self._now(),
                    judge=ask.judge,
                    first=ask.pair.first,
                    second=ask.pair.second,
                    failure=_failure(error),
                )
            )
        else:
            self._inbox.put_nowait(BallotReceived(at=self._now(), ballot=ballot))


def _failure(error: Exception) -> Failure:
    """What may be told: our own errors in their words, anything else by its kind alone."""
    if isinstance(error, PeerBusy):
        return replace(failure_of(error), reason=clipped(f"{error}: {error.advice}"))
    return failure_of(error, f"crashed ({type(error).__name__})")


def _failed(event: Event, failure: Failure) -> ProposalFailed | BallotFailed | None:
    """The failure that stands for an answer that cannot be accepted; None where the event is no answer."""
    match event:
        case ProposalCommitted(at=at, node=node):
            return ProposalFailed(at=at, node=node, failure=failure)
        case ProposalReceived(at=at, proposal=proposal):
            return ProposalFailed(at=at, node=proposal.node, failure=failure)
        case BallotReceived(at=at, ballot=ballot):
            return BallotFailed(at=at, judge=ballot.judge, first=ballot.first, second=ballot.second, failure=failure)
        case _:
            return None
