"""The two best candidates and how easily they are taken for each other.

After Jeong and Chung, "Recovering Top-Two Answers and Confusion Probability in Multi-Choice Crowdsourcing" (2023).
There each task has a right answer and one most confusing answer; a worker names one of the two with its reliability
p, and then the right one with probability q; otherwise it guesses. Their workers pick one of K choices, ours compare
pairs and propose. What we estimate in place of theirs, from the pairwise fit:

- the two answers: the two strongest candidates (their first stage, a spectral estimate, and their second, maximum
  likelihood, are one here: the fit is the maximum-likelihood estimate from all ballots, direct and indirect);
- confusion probability 1 - q: the chance that a judge drawn at random prefers the second to the first,
  sigmoid(s_2 - s_1), averaged over what the fit does not know of the gap;
- p, the share of answers within the top two: the two's share of all strength, exp(s) normalised;
- how sure the second place is: P(third > second). A high value says that the model of *two* plausible answers fails.

Knows nothing of texts or truth.
"""

from math import pi, sqrt

from msgspec import Struct
from scipy.special import expit, softmax

from waggle.consensus.bradley_terry import Strengths
from waggle.consensus.confidence import probability_stronger


class TopTwo(Struct, frozen=True, kw_only=True):
    """The two strongest candidates.

    `second` is None where there is only one candidate. `confusion_p` in [0, 0.5]: chance that a judge prefers the
    second. `third_p` in [0, 0.5]: chance that the third is stronger than the second. `top_two_share` in (0, 1]: share
    of all strength that the two hold.
    """

    first: int
    second: int | None
    confusion_p: float
    third_p: float
    top_two_share: float


def find_top_two(strengths: Strengths) -> TopTwo:
    """Name the two strongest candidates and how confusable they are.

    The mean of sigmoid(-x) over a normal gap x with mean D and variance V is sigmoid(-D / sqrt(1 + pi V / 8))
    (MacKay 1992): few ballots pull it to 1/2.

    Returns:
        One ballot for 0 over 1, prior 0.5 (gap 1.609, variance 4.8): confusion_p 0.2794; with 100 times the ballots
        and prior, variance 0.048, 0.1688; the odds alone are 1/6.
    """
    order = strengths.order()
    if len(order) == 1:
        return TopTwo(first=order[0], second=None, confusion_p=0.0, third_p=0.0, top_two_share=1.0)
    first, second = order[:2]
    gap = float(strengths.s[first] - strengths.s[second])
    variance = strengths.variance_between(first, second)
    share = softmax(strengths.s)
    return TopTwo(
        first=first,
        second=second,
        confusion_p=float(expit(-abs(gap) / sqrt(1 + pi * variance / 8))),
        third_p=min(0.5, probability_stronger(strengths, order[2], second)) if len(order) > 2 else 0.0,
        top_two_share=min(1.0, float(share[first] + share[second])),
    )
