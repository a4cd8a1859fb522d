"""Ballots as arrays, and the likelihood that Bradley-Terry fits to them.

    L(s) = sum_{i<j} [W_ij log sigma(s_i - s_j) + W_ji log sigma(s_j - s_i)]       ballots, with their prior
         + sum_i m_i s_i - (sum_i m_i) log sum_i exp(s_i)                          support

Knows nothing of judges, rounds or solvers. Invariants: L is concave and does not change when one number is added to
all strengths, so its gradient sums to 0 over every group of candidates that ballots or support tie together. Weights
are in ballots, strengths in natural log-odds.

Each row of the support term is the likelihood of one vote among all candidates (Luce 1959), so support counts as
votes and needs no scale of its own: alone it gives exp(s_i) proportional to m_i.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from waggle.core.errors import InvalidBallots, UsageError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SUPPORT_FLOOR = 0.1
"""Least support of a candidate, as a share of the largest support.

A candidate without support (all its supporters are newcomers) would go to minus infinity. The floor cannot touch the
winner. It is no smaller because the normal approximation fails below it: the gap log(1/x) between one vote and x
votes grows more slowly than its standard error sqrt(1 + 1/x), so P(first > second) is highest near x = 0.1 (0.76)
and would *fall* to 0.59 at x = 0.001: fewer votes for the second would make the first less certain.
"""


def wins_matrix(first: ArrayLike, second: ArrayLike, p: ArrayLike, weight: ArrayLike, n: int) -> FloatArray:
    """Add up ballots: each adds weight * p to wins[first, second] and weight * (1 - p) to wins[second, first].

    Args:
        first: shape (B,); candidate shown first, 0 <= first < n.
        second: shape (B,); candidate shown second, never the same as `first`.
        p: shape (B,); P(first beats second) in [0, 1]. Abstentions are left out by the caller, not passed as NaN.
        weight: shape (B,); the judge's weight, >= 0, in ballots.
        n: number of candidates, >= 1.

    Returns:
        shape (n, n), diagonal 0. One ballot (0, 1) with p = 0.75 and weight 2: [[0, 1.5], [0.5, 0]].

    Raises:
        InvalidBallots: a shape, a candidate, a probability or a weight is out of range; the round blames the sender.
    """
    i, j = _candidates(first, n), _candidates(second, n)
    probability, weights = np.asarray(p, dtype=np.float64), np.asarray(weight, dtype=np.float64)
    if not i.shape == j.shape == probability.shape == weights.shape:
        raise InvalidBallots(f"ballots need equally long lists, got {len(i)}, {len(j)}, {p!r:.40} and {weight!r:.40}")
    if np.any(i == j):
        raise InvalidBallots("a ballot compares a candidate with itself")
    if not np.all((probability >= 0) & (probability <= 1)):
        raise InvalidBallots("a ballot's probability is outside [0, 1]")
    if not np.all((weights >= 0) & np.isfinite(weights)):
        raise InvalidBallots("a ballot's weight is negative or not finite")
    won = np.bincount(i * n + j, weights=weights * probability, minlength=n * n)
    lost = np.bincount(j * n + i, weights=weights * (1.0 - probability), minlength=n * n)
    return np.asarray(won + lost, dtype=np.float64).reshape(n, n)


def _candidates(numbers: ArrayLike, n: int) -> IntArray:
    array = np.asarray(numbers)
    if n < 1 or array.ndim != 1:
        raise InvalidBallots(f"ballots need a flat list of candidates and at least one candidate, got n = {n}")
    if array.size == 0:
        return np.zeros(0, dtype=np.int64)
    if array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= n:
        raise InvalidBallots(f"a ballot names a candidate that is no whole number in 0..{n - 1}")
    return array.astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """What was observed, checked and ready to fit. E = pairs with any ballot, each stored once with first < second.

    `won`, `lost` have shape (E,) and hold the prior; `support` has shape (n,), all zeros where there is none, and adds
    up to `votes`. `part` has shape (n,) and numbers the connected parts of the comparison graph, `tied` the groups
    within which strengths can be told: one group where there is support. `bounded` is False where no finite strengths
    exist: somebody won or lost everything, there is no prior and no support.
    """

    first: IntArray
    second: IntArray
    won: FloatArray
    lost: FloatArray
    support: FloatArray
    votes: float
    part: IntArray
    tied: IntArray
    bounded: bool

    @property
    def connected(self) -> bool:
        """Whether the ballots alone tie all candidates together; support does not count, a vote compares nobody."""
        return not self.part.any()

    @property
    def weight(self) -> FloatArray:
        """Shape (n,): each candidate's total weight, the natural unit of its gradient entry; 1 where it has none."""
        total = _per_candidate(self, self.won + self.lost, self.won + self.lost) + self.votes
        return np.where(total > 0, total, 1.0)

    @property
    def wins(self) -> FloatArray:
        """Shape (n,): ballots won, with prior and support."""
        return _per_candidate(self, self.won, self.lost) + self.support


def compare(wins: ArrayLike, support: ArrayLike | None = None, prior_ballots: float = 0.5) -> Comparisons:
    """Check a wins matrix and its support and turn them into pairs. Arguments and raises as in `fit_strengths`."""
    if not (np.isfinite(prior_ballots) and prior_ballots >= 0):
        raise UsageError(f"prior_ballots must be a finite number >= 0, got {prior_ballots}")
    weights = _checked_wins(wins)
    n = len(weights)
    checked = _checked_support(support, n)
    votes = float(checked.sum())
    first, second = np.nonzero(np.triu(weights + weights.T))
    won = weights[first, second] + prior_ballots / 2
    lost = weights[second, first] + prior_ballots / 2
    parts, part = _components(first, second, n, directed=False)
    winners, losers = np.nonzero(weights)
    # Ford 1957: without a prior strengths are finite where nobody can be split off who only won, or only lost.
    finite = prior_ballots / 2 > 0 or _components(winners, losers, n, directed=True)[0] == parts
    tied = np.zeros_like(part) if votes > 0 else part
    return Comparisons(first, second, won, lost, checked, votes, part, tied, finite or votes > 0)


def gradient_at(comparisons: Comparisons, s: FloatArray) -> FloatArray:
    """Slope of L at strengths `s`, shape (n,): sum_j (W_ij - N_ij p_ij) + m_i - M softmax(s)_i.

    One ballot, no prior, s = [0, 0]: [0.5, -0.5].
    """
    gap = s[comparisons.first] - s[comparisons.second]
    # Not W - N p: where p rounds to 1 that difference is 0 and a fit on its way to infinity would look finished.
    surplus = comparisons.won * expit(-gap) - comparisons.lost * expit(gap)
    slope = _per_candidate(comparisons, surplus, -surplus)
    # Ballots move nothing between parts: what rounding leaves there would drown a small support.
    slope -= group_means(comparisons.part, slope)
    return np.asarray(slope + comparisons.support - comparisons.votes * _softmax(s), dtype=np.float64)


def information_at(comparisons: Comparisons, s: FloatArray) -> FloatArray:
    """Minus the second derivative of L at `s`, shape (n, n): the Laplacian of N_ij p_ij (1 - p_ij), and support's.

    Positive semi-definite; rows sum to 0. One ballot, no prior, s = [0, 0]: [[0.25, -0.25], [-0.25, 0.25]].
    """
    n = len(s)
    gap = s[comparisons.first] - s[comparisons.second]
    curvature = (comparisons.won + comparisons.lost) * expit(gap) * expit(-gap)
    information = np.zeros((n, n))
    information[comparisons.first, comparisons.second] = -curvature
    information[comparisons.second, comparisons.first] = -curvature
    if comparisons.votes > 0:
        share = _softmax(s)
        information -= comparisons.votes * np.outer(share, share)
        np.fill_diagonal(information, 0.0)
    np.fill_diagonal(information, -information.sum(axis=1))
    return information


def group_means(group: IntArray, values: FloatArray) -> FloatArray:
    """Mean of `values` over each candidate's group, shape (n,). Groups [0, 0, 1], values [1, 3, 5]: [2, 2, 5]."""
    means = np.bincount(group, weights=values) / np.bincount(group)
    return np.asarray(means[group], dtype=np.float64)


def _softmax(s: FloatArray) -> FloatArray:
    """exp(s) as shares; scipy's own spends more time on finding out what it was given."""
    odds = np.exp(s - s.max())
    return np.asarray(odds / odds.sum(), dtype=np.float64)


def _checked_wins(wins: ArrayLike) -> FloatArray:
    weights = np.asarray(wins, dtype=np.float64)
    if weights.ndim != 2 or weights.shape[0] != weights.shape[1] or len(weights) == 0:
        raise InvalidBallots(f"a wins matrix is square and not empty, got shape {weights.shape}")
    with np.errstate(over="ignore"):
        total = weights.sum()
    if not np.isfinite(total) or np.any(weights < 0):
        raise InvalidBallots("a wins matrix has no negative, infinite or missing entries")
    if np.any(weights.diagonal() != 0):
        raise InvalidBallots("a wins matrix has a zero diagonal: nobody is compared with itself")
    return weights


def _checked_support(support: ArrayLike | None, n: int) -> FloatArray:
    votes = np.zeros(n) if support is None else np.asarray(support, dtype=np.float64)
    if votes.shape != (n,):
        raise InvalidBallots(f"support needs one number for each of {n} candidates, got shape {votes.shape}")
    with np.errstate(over="ignore"):
        total = votes.sum()
    if not np.isfinite(total) or np.any(votes < 0):
        raise InvalidBallots("support has no negative, infinite or missing entries")
    return np.asarray(np.maximum(votes, SUPPORT_FLOOR * votes.max()), dtype=np.float64)


def _components(rows: IntArray, columns: IntArray, n: int, *, directed: bool) -> tuple[int, IntArray]:
    """Number of (strongly, where directed) connected parts, and each candidate's part."""
    if not directed and np.any(np.bincount(rows, minlength=n) + np.bincount(columns, minlength=n) == n - 1):
        return 1, np.zeros(n, dtype=np.int64)  # somebody was compared with everybody: no search is needed
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(n, n))
    count, label = connected_components(graph, directed=directed, connection="strong")
    return int(count), np.asarray(label, dtype=np.int64)


def _per_candidate(comparisons: Comparisons, of_first: FloatArray, of_second: FloatArray) -> FloatArray:
    """Sum values of pairs over the candidates in them, shape (n,)."""
    n = len(comparisons.support)
    firsts = np.bincount(comparisons.first, weights=of_first, minlength=n)
    return np.asarray(firsts + np.bincount(comparisons.second, weights=of_second, minlength=n), dtype=np.float64)
