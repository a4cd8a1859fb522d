"""A round of the committee at one moment, as those who watch it see it. Pure.

The strengths are those that the round itself would decide by now; where they cannot be fitted yet there are none.
"""

import math

from waggle.core.errors import WaggleError
from waggle.core.ids import NodeId
from waggle.core.round_effects import AskBallot, AskProposal
from waggle.core.round_picture import CandidatePicture, Part, Phase, ProposerPicture, RoundPicture
from waggle.core.round_values import Proposal
from waggle.strategies.committee.decide import strengths_of
from waggle.strategies.committee.rank import words_for
from waggle.strategies.committee.state import State


def picture_of(state: State) -> RoundPicture:
    """The round as it stands."""
    everyone = {standing.node: standing.model for standing in (*state.plan.proposers, *state.plan.standby)}
    asked = {standing.node for standing in state.plan.proposers} | _heard_of(state)
    return RoundPicture(
        plan=state.plan,
        phase=state.phase,
        at=state.at,
        proposers=tuple(_proposer(state, node, model) for node, model in everyone.items() if node in asked),
        candidates=_candidates(state),
        ballots=state.ballots,
        count=state.count,
        spent=state.spent,
        standby=len(everyone.keys() - asked),
        outcome=state.outcome,
    )


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
        reason=state.failures[node].reason if node in state.failures else "",
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
