"""How much a node's proposals and ballots should count on a question, from what it was measured to be right on.

Per node, role and kind of question: right out of asked, on calibration questions. Influence starts at zero: an
unmeasured node sits at chance, and chance weighs nothing. Three estimates stand on each other, each a Beta posterior
mean whose prior is worth `PRIOR_QUESTIONS` questions:

    overall  = (right + 4 chance) / (asked + 4)                  all kinds together
    untested = chance + TRANSFER (overall - chance)              a kind it was never measured on, or no known kind
    kind     = (right_k + 4 untested_k) / (asked_k + 4)          untested_k from the other kinds only

Knows nothing of how kinds are guessed or reputation is kept. Counts may be fractions (decay). Weights are in votes and
in ballots.
"""

from collections.abc import Mapping
from math import fsum, log

from msgspec import Struct

from waggle.core.errors import UsageError

PRIOR_QUESTIONS = 4.0
"""Half of the trust comes after 4 questions: fewer and a lucky guess would count, more and the hidden calibration of
20 to 40 questions could not lift an honest node near its skill."""
TRANSFER = 0.5
"""How much of a skill above chance is expected on a kind without a measurement: a cautious middle, not measured."""
JUDGE_CHANCE = 0.5
JUDGE_WEIGHT_CAP = log(9)
"""A judge counts as right on at most 90 %: 40 questions cannot tell 0.9 from 0.97 (36 of 40: 0.76 to 0.97)."""


class SkillCount(Struct, frozen=True, forbid_unknown_fields=True):
    """Right out of asked; 0 <= right <= asked."""

    right: float = 0.0
    asked: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.right <= self.asked < float("inf"):
            raise ValueError(f"a skill counts right answers out of those asked, got {self.right} of {self.asked}")


class NodeSkills(Struct, frozen=True, forbid_unknown_fields=True):
    """What one node was measured to be able to do, by kind of question: answering, and telling a right answer."""

    proposer: dict[str, SkillCount] = {}
    judge: dict[str, SkillCount] = {}


class Weights(Struct, frozen=True, kw_only=True):
    """What a node's words count on one question. `proposer` in [0, 1] votes, `judge` in [0, 2.2] ballots.

    `proposer_p` is the expected share of right answers that the former comes from.
    """

    proposer: float
    judge: float
    proposer_p: float


def expected_skill(
    kind_probabilities: Mapping[str, float], counts: Mapping[str, SkillCount], *, chance: float, certainty: float = 1.0
) -> float:
    """The share of questions like this one that the node is expected to be right on.

    Args:
        kind_probabilities: P(kind) of the question; what they leave to 1 counts as no known kind.
        counts: the node's record in one role.
        chance: share that guessing gets right, in [0, 1).
        certainty: how far the probabilities may be trusted, in [0, 1].

    Returns:
        In [0, 1]. Chance 0.5, 16 of 20 right on kind a: 0.75 on kind a, 0.625 on any other; with nothing measured 0.5.

    Raises:
        UsageError: probabilities, chance or certainty out of range.
    """
    known = fsum(kind_probabilities.values())
    if min(kind_probabilities.values(), default=0) < 0 or known > 1 + 1e-6:
        raise UsageError(f"probabilities of kinds add up to at most 1, got {known}")
    if not (0 <= chance < 1 and 0 <= certainty <= 1):
        raise UsageError(f"chance and certainty are shares, got {chance} and {certainty}")
    base = _untested(counts, chance)  # what differs from it is summed, so that who was never asked is exactly at chance
    return base + certainty * fsum(
        p * (_skill_at(kind, counts, chance) - base) for kind, p in kind_probabilities.items()
    )


def weigh(
    kind_probabilities: Mapping[str, float],
    skills: NodeSkills,
    *,
    certainty: float = 1.0,
    proposer_chance: float = 0.0,
) -> Weights:
    """Turn a node's measured skills into the weight of its vote and of its ballots on one question.

    The vote: (p - chance) / (1 - chance), the share of its answers that are no guesses. The ballot: log p / (1 - p),
    the weight that an independent judge has in the Bayes-optimal decision (Nitzan and Paroush 1982; in each ballot's
    own log-odds); 0 at chance and below, never negative: who is wrong on purpose could be right on purpose too.

    Args:
        kind_probabilities: P(kind) of the question.
        skills: the node's record.
        certainty: how far the probabilities may be trusted, in [0, 1]; at 0 the overall skill counts, shrunk.
        proposer_chance: share of questions that a guess answers, in [0, 1); 0 for open answers, 1/4 for four choices.

    Returns:
        16 of 20 right on kind a in both roles, asked kind a: proposer 0.667, judge 1.10. A newcomer: 0 and 0.

    Raises:
        UsageError: as `expected_skill`.
    """
    proposer_p = expected_skill(kind_probabilities, skills.proposer, chance=proposer_chance, certainty=certainty)
    judge_p = expected_skill(kind_probabilities, skills.judge, chance=JUDGE_CHANCE, certainty=certainty)
    return Weights(
        proposer=max(0.0, (proposer_p - proposer_chance) / (1 - proposer_chance)),
        judge=min(max(log(judge_p / (1 - judge_p)), 0.0), JUDGE_WEIGHT_CAP),
        proposer_p=proposer_p,
    )


def _skill_at(kind: str, counts: Mapping[str, SkillCount], chance: float) -> float:
    others = {other: count for other, count in counts.items() if other != kind}
    here = counts.get(kind, SkillCount())
    return _posterior(here.right, here.asked, _untested(others, chance))


def _untested(counts: Mapping[str, SkillCount], chance: float) -> float:
    right, asked = fsum(count.right for count in counts.values()), fsum(count.asked for count in counts.values())
    return chance + TRANSFER * (_posterior(right, asked, chance) - chance)


def _posterior(right: float, asked: float, prior_p: float) -> float:
    """Mean of Beta(right + 4 prior_p, asked - right + 4 (1 - prior_p))."""
    return (right + PRIOR_QUESTIONS * prior_p) / (asked + PRIOR_QUESTIONS)
