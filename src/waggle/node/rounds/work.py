"""What a node does for a swarm: propose and judge, write and embed with its engines, admitted fairly.

All that engines do goes through `NodeWork`, in one process and over the network. A round's runner asks a `Worker`, and
does not know whether that is our own work or a peer behind a stream. Cancelling an awaited method stops the work;
what a worker raises costs its node that one ask and nothing more. The same proposal or ballot is never made twice; a
model alone writes anew for everyone who asks. Work measures its own speed on the way, which the node's adverts state.
"""

import hashlib
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Protocol

import msgspec
from msgspec.structs import replace

from waggle.core.engine_values import GenerateRequest, JudgeRequest, StreamedToken
from waggle.core.errors import EngineRefused, EngineUnavailable, LocalProtocolError
from waggle.core.failures import clipped
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Load
from waggle.core.round_effects import AskBallot, AskProposal
from waggle.core.round_values import Ballot, Promise, Proposal, Reveal
from waggle.engines.protocol import Engine
from waggle.engines.sharing import SharedWork
from waggle.node.rounds.admission import Admission
from waggle.strategies.promises import promise_of

SMOOTHING = 0.2  # weight of the newest answer in the running mean of the speed


class Worker(Protocol):
    """One node's part in one round."""

    async def propose(self, ask: AskProposal) -> Proposal | Promise:
        """Answer the question; a `Promise` where the round wants commitments. Raises WaggleError."""
        ...

    async def reveal(self) -> Reveal:
        """The answer promised before. Raises WaggleError."""
        ...

    async def judge(self, ask: AskBallot) -> Ballot:
        """Compare two candidates. Raises WaggleError."""
        ...

    async def close(self) -> None:
        """The round is over: stop whatever is still being done for it."""
        ...


class OwnWorker:
    """A part played in this process; what is promised is kept here until it is revealed."""

    def __init__(
        self,
        propose: Callable[[AskProposal], Awaitable[Proposal]],
        judge: Callable[[AskBallot], Awaitable[Ballot]],
        *,
        commits: bool,
    ) -> None:
        self._propose = propose
        self._judge = judge
        self._commits = commits
        self._promised: Reveal | None = None

    async def propose(self, ask: AskProposal) -> Proposal | Promise:
        """Answer the question."""
        proposal = await self._propose(ask)
        if not self._commits:
            return proposal
        self._promised = Reveal(proposal=proposal, nonce=secrets.token_hex(16))
        return promise_of(self._promised)

    async def reveal(self) -> Reveal:
        """The answer promised before."""
        if self._promised is None:
            raise LocalProtocolError("asked to reveal before anything was promised")
        return self._promised

    async def judge(self, ask: AskBallot) -> Ballot:
        """Compare two candidates."""
        return await self._judge(ask)

    async def close(self) -> None:
        """Nothing outlives the calls themselves; the engine belongs to the node."""


class NodeWork:
    """The engines of one node, by model name, and the room there is for work on them."""

    def __init__(
        self,
        engines: Mapping[str, Engine],
        admission: Admission,
        choose: Callable[[str], str] | None = None,
        *,
        shares: bool = True,
    ) -> None:
        """Nothing at work yet.

        Args:
            engines: by model name, the default one first.
            admission: how much at once.
            choose: the model for a question that names none; the first one where this is left out.
            shares: whether the same may be asked for twice: by another coordinator, where the first one died.
        """
        self._engines = dict(engines)
        self._admission = admission
        self._choose = choose or (lambda question: next(iter(self._engines), ""))
        self._shares = shares
        self._proposals = SharedWork[Proposal]()
        self._ballots = SharedWork[Ballot]()
        self._speeds: dict[str, float] = {}
        self.answered = 0
        """Pieces of work done since the start; a proposal or ballot that several asked for counts once."""

    @property
    def load(self) -> Load:
        """How busy the node is."""
        return self._admission.load

    @property
    def engines(self) -> Mapping[str, Engine]:
        """The engines, by model name."""
        return self._engines

    def speed(self, model: str) -> float | None:
        """Measured tokens per second of whole answers, waiting for a place not included; None before the first."""
        return self._speeds.get(model)

    async def propose(self, asker: NodeId, request: str, ask: AskProposal) -> Proposal:
        """Answer a question, or give the answer made before for the same request.

        Raises:
            PeerBusy: no room now. EngineError: the engine could not.
        """
        model = ask.brief.model or self._choose(ask.brief.question)
        engine = self._engine(model)

        async def work() -> Proposal:
            async with self._admission.place(asker):
                proposal = await propose_with(engine, ask)
            self.answered += 1
            self._learn_speed(model, proposal.tokens, proposal.seconds)
            return proposal

        return await (self._proposals.do(_key(request, ask), work) if self._shares else work())

    async def judge(self, asker: NodeId, request: str, ask: AskBallot) -> Ballot:
        """Compare two candidates, or give the ballot cast before on the same words; errors as for `propose`."""
        engine = self._engine(ask.brief.model or self._choose(ask.brief.question))

        async def work() -> Ballot:
            async with self._admission.place(asker):
                ballot = await judge_with(engine, ask)
            self.answered += 1
            return ballot

        if not self._shares:
            return await work()
        same = replace(ask, pair=replace(ask.pair, first=0, second=0))
        ballot = await self._ballots.do(_key(request, same), work)
        return replace(ballot, first=ask.pair.first, second=ask.pair.second)

    async def generate(self, asker: NodeId, model: str, asked: GenerateRequest) -> AsyncGenerator[StreamedToken, None]:
        """Have one model write, token by token; its place is free again before the last one, or when this is closed.

        Args:
            model: which one; empty leaves it to the node.

        Raises:
            PeerBusy: no room now. EngineError: the engine could not.
        """
        model = model or self._choose(asked.question)
        engine = self._engine(model)
        last = None
        async with self._admission.place(asker), aclosing(engine.stream(asked)) as tokens:
            async for token in tokens:
                if token.generation is not None:
                    last = token
                    break
                yield token
        if last is None or last.generation is None:
            raise EngineRefused(f"{model} ended without a word")
        made = last.generation
        self.answered += 1
        self._learn_speed(model, made.prompt_tokens + made.completion_tokens, made.seconds)
        yield last

    async def embed(self, asker: NodeId, model: str, texts: Sequence[str]) -> list[list[float]]:
        """One unit-length vector per text; errors as for `generate`."""
        engine = self._engine(model or self._choose(texts[0] if texts else ""))
        async with self._admission.place(asker):
            vectors = await engine.embed(texts)
        self.answered += 1
        return vectors

    def worker(self, asker: NodeId, request: str, *, commits: bool) -> OwnWorker:
        """Our own part in a round that we coordinate; it takes its turn like everyone else's work."""
        return OwnWorker(partial(self.propose, asker, request), partial(self.judge, asker, request), commits=commits)

    def _engine(self, model: str) -> Engine:
        if model not in self._engines:
            raise EngineUnavailable(f"this node has no model {model!r}" if self._engines else "this node has no model")
        return self._engines[model]

    def _learn_speed(self, model: str, tokens: int, seconds: float) -> None:
        if seconds > 0 and tokens > 0:
            speed = tokens / seconds
            self._speeds[model] = self._speeds.get(model, speed) * (1 - SMOOTHING) + speed * SMOOTHING


async def propose_with(engine: Engine, ask: AskProposal) -> Proposal:
    """One engine's answer as its node's proposal."""
    brief = ask.brief
    request = GenerateRequest(
        question=brief.question, max_tokens=brief.max_tokens, sampling=ask.sampling, turns=brief.turns
    )
    made = await engine.generate(request)
    return Proposal(
        node=ask.node,
        answer=made.answer.strip(),
        trace=made.trace,
        self_confidence=made.self_confidence,
        tokens=max(0, made.prompt_tokens + made.completion_tokens),
        prompt_tokens=max(0, made.prompt_tokens),
        seconds=made.seconds,
    )


async def judge_with(engine: Engine, ask: AskBallot) -> Ballot:
    """One engine's comparison as its node's ballot."""
    request = JudgeRequest(
        question=ask.brief.question,
        first=ask.pair.first_text,
        second=ask.pair.second_text,
        method=ask.pair.method,
        max_tokens=ask.brief.max_tokens,
        seed=ask.pair.seed,
        turns=ask.brief.turns,
    )
    made = await engine.judge(request)
    return Ballot(
        judge=ask.judge,
        first=ask.pair.first,
        second=ask.pair.second,
        p=made.p,
        reason=clipped(made.reason),
        tokens=max(0, made.prompt_tokens + made.completion_tokens),
        prompt_tokens=max(0, made.prompt_tokens),
        seconds=made.seconds,
    )


def _key(request: str, ask: AskProposal | AskBallot) -> bytes:
    """Names a piece of work by all that decides its result, so that no one can plant an answer to another question."""
    return hashlib.sha256(request.encode() + msgspec.msgpack.encode(ask)).digest()
