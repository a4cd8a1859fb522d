"""Runs one round inside one process: carries out its effects with real engines and feeds it what happens.

The only place where the round meets time and concurrency. Every ask is a task of one group; whatever a task raises
becomes an event, so a crashing engine costs its share and nothing more. When the round finishes, everything still
running is cancelled and awaited before the record is returned.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

import numpy as np

from waggle.core.engine_values import GenerateRequest, JudgeRequest
from waggle.core.errors import RemoteProtocolError, WaggleError
from waggle.core.ids import NodeId
from waggle.core.round_values import (
    AskBallot,
    AskProposal,
    Ballot,
    BallotFailed,
    BallotReceived,
    CancelAll,
    DeadlinePassed,
    Effect,
    Event,
    Finish,
    Plan,
    Proposal,
    ProposalFailed,
    ProposalReceived,
    Record,
    RoundStarted,
    SetTimer,
)
from waggle.engines.protocol import Engine
from waggle.node.clock import Clock
from waggle.swarm.limits import MAX_REASON_BYTES
from waggle.swarm.round import step
from waggle.swarm.state import State

Watch = Callable[[State, Event], None]
SEED_MASK = 2**128 - 1  # numpy refuses negative seeds


def draw(seed: int) -> np.random.Generator:
    """The generator that belongs to a seed, also a negative one: the one source of chance in a round."""
    return np.random.default_rng(seed & SEED_MASK)


class RoundRunner:
    """One round in progress. `watch` sees every accepted event with the state it led to."""

    def __init__(self, plan: Plan, engines: Mapping[NodeId, Engine], clock: Clock, watch: Watch | None = None) -> None:
        self._engines = engines
        self._clock = clock
        self._watch = watch
        self._state = State(plan=plan)
        self._inbox: asyncio.Queue[Event] = asyncio.Queue()
        self._events: list[Event] = []
        self._asks: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.Task[None]] = set()
        self._started = clock.now()

    async def run(self) -> Record:
        """Run to the end; at most `plan.budget.seconds`, plus what cancelling takes.

        Raises:
            asyncio.CancelledError: the caller lost interest; all engine work has been stopped by then.
        """
        try:
            async with asyncio.TaskGroup() as group:
                self._accept(RoundStarted(at=0.0), group)
                while self._state.outcome is None:
                    self._hear(await self._inbox.get(), group)
                self._stop(self._asks | self._timers)
        finally:
            self._stop(self._asks | self._timers)
        assert self._state.outcome is not None
        return Record(plan=self._state.plan, events=tuple(self._events), outcome=self._state.outcome)

    def _hear(self, event: Event, group: asyncio.TaskGroup) -> None:
        """Apply an event. One that breaks the rules is dropped; whoever was asked for it has failed with it."""
        try:
            self._accept(event, group)
        except RemoteProtocolError as error:
            failure = _failed(event, _said(error))
            with suppress(RemoteProtocolError):  # nobody was waiting for it
                if failure is not None:
                    self._accept(failure, group)

    def _accept(self, event: Event, group: asyncio.TaskGroup) -> None:
        self._state, effects = step(self._state, event, draw)
        self._events.append(event)
        if self._watch is not None:
            self._watch(self._state, event)
        for effect in effects:
            self._carry_out(effect, group)

    def _carry_out(self, effect: Effect, group: asyncio.TaskGroup) -> None:
        match effect:
            case AskProposal():
                self._keep(self._asks, group.create_task(self._propose(effect)))
            case AskBallot():
                self._keep(self._asks, group.create_task(self._judge(effect)))
            case SetTimer():
                self._keep(self._timers, group.create_task(self._ring(effect)))
            case CancelAll():
                self._stop(self._asks)
            case Finish():
                pass

    def _keep(self, tasks: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def _stop(self, tasks: set[asyncio.Task[None]]) -> None:
        for task in tuple(tasks):
            task.cancel()

    def _now(self) -> float:
        return self._clock.now() - self._started

    async def _ring(self, timer: SetTimer) -> None:
        await self._clock.sleep(max(0.0, timer.at - self._now()))
        self._inbox.put_nowait(DeadlinePassed(at=self._now(), phase=timer.phase))

    async def _propose(self, ask: AskProposal) -> None:
        try:
            proposal = await self._generate(ask)
        except Exception as error:  # noqa: BLE001  # the node's outermost loop: any crash costs only its engine
            self._inbox.put_nowait(ProposalFailed(at=self._now(), node=ask.node, reason=_said(error)))
        else:
            self._inbox.put_nowait(ProposalReceived(at=self._now(), proposal=proposal))

    async def _generate(self, ask: AskProposal) -> Proposal:
        request = GenerateRequest(question=ask.question, max_tokens=ask.max_tokens, sampling=ask.sampling)
        made = await self._engines[ask.node].generate(request)
        return Proposal(
            node=ask.node,
            answer=made.answer.strip(),
            trace=made.trace,
            self_confidence=made.self_confidence,
            tokens=made.prompt_tokens + made.completion_tokens,
            seconds=made.seconds,
        )

    async def _judge(self, ask: AskBallot) -> None:
        try:
            ballot = await self._compare(ask)
        except Exception as error:  # noqa: BLE001  # as above
            self._inbox.put_nowait(
                BallotFailed(at=self._now(), judge=ask.judge, first=ask.first, second=ask.second, reason=_said(error))
            )
        else:
            self._inbox.put_nowait(BallotReceived(at=self._now(), ballot=ballot))

    async def _compare(self, ask: AskBallot) -> Ballot:
        request = JudgeRequest(
            question=ask.question,
            first=ask.first_text,
            second=ask.second_text,
            method=ask.method,
            max_tokens=ask.max_tokens,
            seed=ask.seed,
        )
        made = await self._engines[ask.judge].judge(request)
        return Ballot(
            judge=ask.judge,
            first=ask.first,
            second=ask.second,
            p=made.p,
            reason=_clipped(made.reason),
            tokens=made.prompt_tokens + made.completion_tokens,
            seconds=made.seconds,
        )


def _said(error: Exception) -> str:
    """What may be told of a failure: our own errors in their words, anything else by its kind alone."""
    return _clipped(str(error)) if isinstance(error, WaggleError) else f"crashed ({type(error).__name__})"


def _clipped(text: str) -> str:
    """As much as the round takes; what is no valid Unicode becomes a question mark."""
    return text.encode(errors="replace")[:MAX_REASON_BYTES].decode(errors="ignore")


def _failed(event: Event, reason: str) -> ProposalFailed | BallotFailed | None:
    """The failure that stands for an answer that cannot be accepted; None where the event is no answer."""
    match event:
        case ProposalReceived(at=at, proposal=proposal):
            return ProposalFailed(at=at, node=proposal.node, reason=reason)
        case BallotReceived(at=at, ballot=ballot):
            return BallotFailed(at=at, judge=ballot.judge, first=ballot.first, second=ballot.second, reason=reason)
        case _:
            return None


async def run_round(plan: Plan, engines: Mapping[NodeId, Engine], clock: Clock, watch: Watch | None = None) -> Record:
    """Run one round to its end and return its record, from which it can be replayed."""
    return await RoundRunner(plan, engines, clock, watch).run()
