"""A round at one moment in the words of somebody who watches: who is at what, which candidate leads, who beat whom.

What a terminal, a page or a client's progress line shows of a round, whatever its way of answering: every way's machine
gives this view of its state.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from waggle.core.ids import NodeId
from waggle.core.round_values import Ballot, BallotCount, Outcome, Plan, Proposal, Spent


class Phase(StrEnum):
    """Where a round is."""

    WAITING = "waiting"
    PROPOSE = "propose"
    RANK = "rank"
    DONE = "done"


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
    """Everything that is shown of a round; candidates with the strongest first, `standby` are those not asked."""

    plan: Plan
    phase: Phase
    at: float = 0.0
    proposers: tuple[ProposerPicture, ...] = ()
    candidates: tuple[CandidatePicture, ...] = ()
    ballots: tuple[Ballot, ...] = ()
    count: BallotCount = BallotCount()
    spent: Spent = Spent()
    standby: int = 0
    outcome: Outcome | None = None


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
