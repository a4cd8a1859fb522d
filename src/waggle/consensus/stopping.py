"""When more ballots are not worth their price: the answer would not change.

The chance that what is still to come makes another candidate the winner; and how far votes agree, by the Beta rule of
adaptive consistency (Aggarwal et al. 2023). Knows nothing of prices or clocks; weights are in ballots, levels are
probabilities. Votes and ballots are taken as independent: where judges err together they stop too early, so the level
belongs under calibration as much as the confidence does.
"""

from math import erfc, sqrt

from scipy.special import betainc

from waggle.consensus.bradley_terry import Strengths
from waggle.core.errors import UsageError


def agreement_probability(leader_votes: float, runner_up_votes: float) -> float:
    """P(the leader's true share among the two is above 1/2) = 1 - I_{1/2}(v1 + 1, v2 + 1), a uniform prior.

    Args:
        leader_votes: v1 >= 0, whole or weighted.
        runner_up_votes: v2 >= 0.

    Returns:
        In (0, 1): votes 3 to 0 give 0.9375, 2 to 1 give 0.6875, 0 to 0 give 0.5.

    Raises:
        UsageError: negative votes.
    """
    if not (leader_votes >= 0 and runner_up_votes >= 0):
        raise UsageError(f"votes are numbers >= 0, got {leader_votes} and {runner_up_votes}")
    return float(betainc(runner_up_votes + 1, leader_votes + 1, 0.5))


def winner_change_probability(strengths: Strengths, remaining_weight: float) -> float:
    """An upper bound on the chance that the ballots still to come change the winner.

    After them the winner's lead over candidate j will be normal around today's lead D_j, with the variance that they
    take away from it: what is learnt is what can surprise. A ballot of weight r carries information of at most r/4
    about one difference. With R = remaining weight, V_j = Var(s_1 - s_j) and X = R/4 times the largest variance of
    any difference, they take away at most V_j X / (1 + X), wherever they are spent. So

        P(change) <= sum_j Phi(-D_j / sqrt(V_j X / (1 + X))),

    conservative in three ways: all ballots as informative as can be, all on the best pair, and the sum over rivals.

    Args:
        strengths: the fit so far; its covariance holds where weights are counts of independent ballots.
        remaining_weight: R >= 0, the weights of all ballots that the budget still buys, added up.

    Returns:
        In [0, 1]; 0 with no ballots left or one candidate. One ballot for 0 over 1, prior 0.5, R = 1: 0.160.

    Raises:
        UsageError: `remaining_weight` is negative or not finite.
    """
    if not 0 <= remaining_weight < float("inf"):
        raise UsageError(f"the remaining weight is a finite number >= 0, got {remaining_weight}")
    winner, *rivals = strengths.order()
    if not rivals or remaining_weight == 0:
        return 0.0
    diagonal = strengths.covariance.diagonal()
    largest = float((diagonal[:, None] + diagonal[None, :] - 2 * strengths.covariance).max())
    news = remaining_weight / 4 * largest
    learnt = news / (1 + news)
    return min(1.0, sum(_below_zero(strengths, winner, rival, learnt) for rival in rivals))


def can_winner_change(strengths: Strengths, remaining_weight: float, *, level: float = 0.95) -> bool:
    """Whether buying the remaining ballots is worth it: they change the winner with probability > 1 - level, at most.

    Bound and arguments as in `winner_change_probability`. One ballot for 0 over 1, prior 0.5, R = 1: True (0.160).
    """
    return winner_change_probability(strengths, remaining_weight) > 1 - level


def _below_zero(strengths: Strengths, winner: int, rival: int, learnt: float) -> float:
    """Phi(-lead / deviation) for the lead of `winner` over `rival`."""
    lead = float(strengths.s[winner] - strengths.s[rival])
    deviation = sqrt(strengths.variance_between(winner, rival) * learnt)
    if deviation == 0:
        return 0.0 if lead > 0 else 1.0
    return 0.5 * erfc(lead / deviation / sqrt(2))
