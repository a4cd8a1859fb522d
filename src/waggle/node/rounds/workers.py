"""A node's part in one round, wherever the node is: in this process, or behind a stream.

The runner asks a `Worker` and neither knows nor cares which kind it is. Cancelling an awaited method stops the work
itself. What a worker raises costs its node that one ask and nothing more.
"""

import secrets
from collections.abc import Awaitable, Callable
from typing import Protocol

from waggle.core.engine_values import GenerateRequest, JudgeRequest
from waggle.core.errors import LocalProtocolError
from waggle.core.failures import clipped
from waggle.core.round_effects import AskBallot, AskProposal
from waggle.core.round_values import Ballot, Promise, Proposal, Reveal
from waggle.engines.protocol import Engine
from waggle.strategies.promises import promise_of


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
