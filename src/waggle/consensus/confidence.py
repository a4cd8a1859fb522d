"""How sure the round may be of its winner: a raw score from the ranking, what else speaks for it, and who could be it.

P(first > second) is the normal approximation from the fitted strengths and their covariance. It is a score, not yet a
probability of being right: judges err together, and no covariance knows it. `calibration.py` turns the features into
one. Knows nothing of truth. Everything here is in [0, 1].

The top two are after Jeong and Chung, "Recovering Top-Two Answers and Confusion Probability in Multi-Choice
Crowdsourcing" (2023): each task has a right answer and one most confusing answer. Their workers pick one of K choices,
ours compare pairs and propose. What we estimate in place of theirs, from the pairwise fit: the two strongest candidates
(their spectral estimate and their maximum likelihood are one here: the fit), and the chance that a judge drawn at
random prefers the second to the first, sigmoid(s_2 - s_1), averaged over what the fit does not know of the gap.
"""

from collections.abc import Sequence
from math import erfc, fsum, pi, sqrt

from msgspec import Struct
from scipy.special import expit

from waggle.consensus.bradley_terry import Strengths
from waggle.consensus.stopping import agreement_probability
from waggle.consensus.votes import Vote

NEUTRAL = 0.5
"""Stands in for what is not known; its log-odds are 0, so it says nothing."""


class ConfidenceFeatures(Struct, frozen=True, kw_only=True):
    """What speaks for the winner; more is better in each, all in [0, 1], 0.5 where it is not known.

    `raw_score`: P(first > second). `vote_share`: of all proposals, those that fell into the winner. `support_share`:
    the same by reputation and self-confidence. `agreement_p`: the Beta rule's probability that the winner would lead
    among endless proposers. `self_confidence`: mean of the winner's supporters. `expected_skill`: how often the best
    of the winner's supporters is right on such a question. `familiarity`: how far the question is of a kind that skills
    were measured on at all.
    """

    raw_score: float
    vote_share: float = NEUTRAL
    support_share: float = NEUTRAL
    agreement_p: float = NEUTRAL
    self_confidence: float = NEUTRAL
    expected_skill: float = NEUTRAL
    familiarity: float = NEUTRAL

    def vector(self) -> tuple[float, ...]:
        """The features in the order of their definition."""
        return tuple(float(getattr(self, name)) for name in self.__struct_fields__)


def probability_stronger(strengths: Strengths, i: int, j: int) -> float:
    """P(s_i > s_j) if the strengths are normal with the fitted covariance.

    0.5 where nothing was observed about the two. One ballot for 0 over 1, prior 0.5: gap 1.609, variance 4.8, 0.769.
    """
    deviation = sqrt(strengths.variance_between(i, j))
    gap = float(strengths.s[i] - strengths.s[j])
    if deviation == 0:
        return 0.5 if gap == 0 else float(gap > 0)
    return 0.5 * erfc(-gap / deviation / sqrt(2))


def winner_score(strengths: Strengths) -> float:
    """P(first > second), the raw score of the winner, in [0.5, 1]; 1.0 where there is only one candidate.

    One ballot for 0 over 1, prior 0.5: 0.769.
    """
    order = strengths.order()
    return probability_stronger(strengths, order[0], order[1]) if len(order) > 1 else 1.0


class TopTwo(Struct, frozen=True):
    """The two strongest candidates; `confusion_p` in [0, 0.5] is the chance that a judge prefers the second."""

    first: int
    second: int | None
    confusion_p: float


def find_top_two(strengths: Strengths) -> TopTwo:
    """Name the two strongest candidates and how confusable they are; a single one is confused with nobody.

    The mean of sigmoid(-x) over a normal gap x with mean D and variance V is sigmoid(-D / sqrt(1 + pi V / 8))
    (MacKay 1992): few ballots pull it to 1/2.

    Returns:
        One ballot for 0 over 1, prior 0.5 (gap 1.609, variance 4.8): confusion_p 0.2794; with 100 times the ballots
        and prior, variance 0.048, 0.1688; the odds alone are 1/6.
    """
    first, *others = strengths.order()
    if not others:
        return TopTwo(first, None, 0.0)
    gap, variance = float(strengths.s[first] - strengths.s[others[0]]), strengths.variance_between(first, others[0])
    return TopTwo(first, others[0], float(expit(-abs(gap) / sqrt(1 + pi * variance / 8))))


def confidence_features(
    strengths: Strengths,
    *,
    vote: Vote,
    support: Sequence[float],
    self_confidence: Sequence[float | None] = (),
    expected_skill: float | None = None,
    familiarity: float | None = None,
) -> ConfidenceFeatures:
    """Gather the features of the winner of `strengths`.

    Args:
        strengths: the fit over n candidates.
        vote: a vote over the same candidates; only its counts are used.
        support: shape (n,); weighted votes behind each candidate.
        self_confidence: of the winner's supporters; None where an engine cannot tell.
        expected_skill: share of right answers expected of the winner's supporters on this kind of question.
        familiarity: of the question, in [0, 1].

    Returns:
        One ballot for 0 over 1, votes [0, 0, 1]: raw_score 0.769, vote_share 2/3, agreement_p 0.6875.
    """
    winner = strengths.order()[0]
    others = [count for candidate, count in enumerate(vote.counts) if candidate != winner]
    known = [confidence for confidence in self_confidence if confidence is not None]
    return ConfidenceFeatures(
        raw_score=winner_score(strengths),
        vote_share=_share(vote.counts, winner),
        support_share=_share(support, winner),
        agreement_p=agreement_probability(vote.counts[winner], max(others, default=0)),
        self_confidence=fsum(known) / len(known) if known else NEUTRAL,
        expected_skill=NEUTRAL if expected_skill is None else expected_skill,
        familiarity=NEUTRAL if familiarity is None else familiarity,
    )


def _share(weights: Sequence[float], winner: int) -> float:
    total = fsum(weights)
    return weights[winner] / total if total > 0 else NEUTRAL
