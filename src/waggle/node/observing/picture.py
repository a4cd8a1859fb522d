"""A round at one moment in the words of somebody who watches: who is at what, which candidate leads, who beat whom.

Pure: from a `State` to values that a page or a terminal shows. The strengths are those that the round itself would
decide by now; where they cannot be fitted yet there are none.
"""

import math
from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from waggle.core.errors import WaggleError
from waggle.core.ids import NodeId
from waggle.core.round_effects import AskBallot, AskProposal
from waggle.core.round_values import Ballot, BallotCount, Outcome, Plan, Proposal, Spent
from waggle.node.observing.names import names_of
from waggle.swarm.decide import strengths_of
from waggle.swarm.rank import words_for
from waggle.swarm.state import Phase, State

__all__ = [
    "CandidatePicture",
    "Part",
    "Phase",
    "ProposerPicture",
    "RoundPicture",
    "pairwise",
    "picture_of",
]


class Part(StrEnum):
    """What a proposer is at."""

    WAITING = "waiting"
    THINKING = "thinking"
    COMMITTED = "committed"
    ANSWERED = "answered"
    FAILED = "failed"
    SKIPPED = "not needed"


class ProposerPicture(Struct, frozen=True, kw_only=True):
    """One proposer; `reason` says why it failed, or why its ballots failed."""

    node: NodeId
    model: str
    part: Part
    proposal: Proposal | None = None
    reason: str = ""
    ballots: int = 0
    judging: bool = False


class CandidatePicture(Struct, frozen=True, kw_only=True):
    """One candidate; `odds` in [0, 1] compares it with the strongest, None where nothing can be fitted yet."""

    number: int
    answer: str
    supporters: tuple[NodeId, ...]
    support: float
    strength: float | None = None
    odds: float | None = None


class RoundPicture(Struct, frozen=True, kw_only=True):
    """Everything that is shown of a round; candidates with the strongest first, `standby` are those not asked.

    `names` is what people call the nodes.
    """

    phase: Phase
    at: float
    proposers: tuple[ProposerPicture, ...]
    candidates: tuple[CandidatePicture, ...]
    ballots: tuple[Ballot, ...]
    count: BallotCount
    spent: Spent
    standby: int = 0
    outcome: Outcome | None = None
    names: Mapping[str, str] = {}


def picture_of(state: State) -> RoundPicture:
    """The round as it stands."""
    everyone = {standing.node: standing.model for standing in (*state.plan.proposers, *state.plan.standby)}
    asked = {standing.node for standing in state.plan.proposers} | _heard_of(state)
    return RoundPicture(
        phase=state.phase,
        at=state.at,
        proposers=tuple(_proposer(state, node, model) for node, model in everyone.items() if node in asked),
        candidates=_candidates(state),
        ballots=state.ballots,
        count=state.count,
        spent=state.spent,
        standby=len(everyone.keys() - asked),
        outcome=state.outcome,
        names=names_of(state.plan),
    )


def pairwise(plan: Plan, ballots: tuple[Ballot, ...]) -> Mapping[tuple[int, int], float]:
    """Mean P(row beats column) of every pair that was compared, both orders, by the judges' weights.

    One judge of weight 1 who says 0.9 for candidate 0 over 1: {(0, 1): 0.9, (1, 0): 0.1}.
    """
    weights = {standing.node: standing.judge_weight for standing in plan.judges}
    won: dict[tuple[int, int], float] = {}
    for ballot in ballots:
        if ballot.p is not None:
            weight = weights.get(ballot.judge, 0.0)
            for pair, p in (((ballot.first, ballot.second), ballot.p), ((ballot.second, ballot.first), 1 - ballot.p)):
                won[pair] = won.get(pair, 0.0) + weight * p
    totals = {(a, b): share + won[b, a] for (a, b), share in won.items()}
    return {pair: share / totals[pair] for pair, share in won.items() if totals[pair] > 0}


def _heard_of(state: State) -> set[str]:
    """Who was asked for a proposal at some time: standbys are only when somebody failed or was slow."""
    asks = {ask.node for ask in (*state.open, *state.pending) if isinstance(ask, AskProposal)}
    return {*asks, *state.commits, *state.failures, *(proposal.node for proposal in state.proposals)}


def _proposer(state: State, node: NodeId, model: str) -> ProposerPicture:
    proposal = next((proposal for proposal in state.proposals if proposal.node == node), None)
    return ProposerPicture(
        node=node,
        model=model,
        part=_part(state, node, proposal),
        proposal=proposal,
        reason=state.failures.get(node, ""),
        ballots=sum(ballot.judge == node for ballot in state.ballots),
        judging=any(isinstance(ask, AskBallot) and ask.judge == node for ask in state.open),
    )


def _part(state: State, node: NodeId, proposal: Proposal | None) -> Part:
    if proposal is not None:
        return Part.ANSWERED
    if any(isinstance(ask, AskProposal) and ask.node == node for ask in state.open):
        return Part.COMMITTED if node in state.commits else Part.THINKING
    if node in state.failures:
        return Part.FAILED
    return Part.WAITING if state.phase in (Phase.WAITING, Phase.PROPOSE) else Part.SKIPPED


def _candidates(state: State) -> tuple[CandidatePicture, ...]:
    strengths = _strengths(state)
    top = max(strengths, default=0.0)
    pictures = [
        CandidatePicture(
            number=number,
            answer=words_for(state, candidate),
            supporters=tuple(state.proposals[member].node for member in candidate.members),
            support=candidate.support,
            strength=strengths[number] if strengths else None,
            odds=math.exp(strengths[number] - top) if strengths else None,
        )
        for number, candidate in enumerate(state.candidates)
    ]
    return tuple(sorted(pictures, key=lambda picture: (-(picture.strength or 0.0), picture.number)))


def _strengths(state: State) -> list[float]:
    if len(state.candidates) == 1:
        return [0.0]
    try:
        return [float(s) for s in strengths_of(state).s] if state.candidates else []
    except WaggleError:
        return []  # too little is known yet
