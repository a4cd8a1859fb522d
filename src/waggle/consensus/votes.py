"""Votes: who won when every proposal counts once, by its confidence, or by a weight of its own.

The baselines that a ranking has to beat, and what is left when nobody judges. Knows nothing of answers or ballots:
a vote is a candidate's number and a weight. Invariants: the order of the votes changes nothing; a tie in weight goes to
the candidate with more votes, then to the lower number, never to chance.
"""

from collections.abc import Sequence
from math import fsum, isclose

from msgspec import Struct

from waggle.core.errors import InvalidBallots

TIE = 1e-9
"""Weights this close (relative) are equal: sums of the same weights in another order differ by rounding only."""

WEIGHT_LIMIT = 1e100
"""Far above any honest weight, and low enough that no sum of weights overflows."""


class Vote(Struct, frozen=True, kw_only=True):
    """Outcome of a vote. `counts` is how many voted for each candidate."""

    winner: int
    counts: tuple[int, ...]


def plurality(choices: Sequence[int], candidates: int) -> Vote:
    """Count every vote once.

    Args:
        choices: one candidate per vote, each in 0..candidates - 1.
        candidates: how many candidates there are, >= 1.

    Returns:
        Votes [0, 1, 1]: winner 1, counts (1, 2). No votes: winner 0.

    Raises:
        InvalidBallots: a vote for nobody; the round blames the sender.
    """
    return weighted_vote(choices, [1.0] * len(choices), candidates)


def confidence_vote(choices: Sequence[int], self_confidence: Sequence[float | None], candidates: int) -> Vote:
    """Weigh every vote by how sure its proposer is of itself, in [0, 1].

    Who cannot tell (None) counts as the mean of those who can, as 1 where nobody can: neither punished nor rewarded.
    Votes [0, 1, 1] with confidence [0.9, 0.2, 0.4]: winner 0, by 0.9 to 0.6. Raises InvalidBallots.
    """
    known = [confidence for confidence in self_confidence if confidence is not None]
    neutral = fsum(known) / len(known) if known else 1.0
    weights = [neutral if confidence is None else confidence for confidence in self_confidence]
    if any(weight > 1 for weight in weights):
        raise InvalidBallots("a self-confidence is above 1")
    return weighted_vote(choices, weights, candidates)


def weighted_vote(choices: Sequence[int], weights: Sequence[float], candidates: int) -> Vote:
    """Weigh every vote by a number >= 0.

    All weights 0: the tie rule decides. Votes [0, 1, 1] with weights [1, 0.5, 0.5]: a tie in weight, which candidate 1
    wins by having more votes. Raises InvalidBallots.
    """
    if len(choices) != len(weights):
        raise InvalidBallots(f"{len(choices)} votes need as many weights, got {len(weights)}")
    if any(not 0 <= choice < candidates for choice in choices) or candidates < 1:
        raise InvalidBallots(f"a vote names a candidate outside 0..{candidates - 1}")
    if not all(0 <= weight <= WEIGHT_LIMIT for weight in weights):
        raise InvalidBallots("a vote's weight is negative, not a number or beyond all measure")
    behind: list[list[float]] = [[] for _ in range(candidates)]
    for choice, weight in zip(choices, weights, strict=True):
        behind[choice].append(weight)
    support, counts = [fsum(each) for each in behind], tuple(map(len, behind))
    tied = [i for i, weight in enumerate(support) if isclose(weight, max(support), rel_tol=TIE)]
    return Vote(winner=min(tied, key=lambda i: (-counts[i], i)), counts=counts)
