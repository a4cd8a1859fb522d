"""How strong each candidate is, from weighted pairwise ballots and the votes behind the candidates (Bradley-Terry).

Bradley and Terry 1952; the MM iteration after Hunter 2004; the damping after Sun and Tran-Dinh 2019. Deterministic:
the same ballots give the same strengths. Knows nothing of who judged. Invariants: strengths sum to 0; a result is
returned only when it has converged; renumbering the candidates renumbers the result. The simultaneous form of
Newman's iteration is not used: it oscillates for ever on bipartite graphs, two candidates already.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import LinAlgError
from scipy.linalg.lapack import dpotrf, dpotrs, dtrtri

from waggle.consensus.comparisons import (
    Comparisons,
    FloatArray,
    IntArray,
    compare,
    gradient_at,
    group_means,
    information_at,
    wins_matrix,
)
from waggle.core.errors import NotConverged

__all__ = ["UNKNOWN_VARIANCE", "Strengths", "fit_strengths", "fit_strengths_mm", "wins_matrix"]

UNKNOWN_VARIANCE = 1e6
"""Variance of a difference that nothing was observed about, in place of infinity: P(first > second) stays 0.50."""

TOLERANCE = 1e-9
"""Largest gradient entry at which a fit is accepted, as a share of that candidate's total weight."""
NEWTON_STEPS = 100
"""6 on average and 58 at most on 6,000 random problems of 1 to 29 candidates with weights from 0.001 to 10,000."""
LONGEST_STEP = 6.0
"""Longest reach of a Newton step in log-odds. Of the limits 2 to 8 and none, 6 needed the fewest steps on those
problems; without a limit 1 % failed, thrown to where the likelihood is flat to rounding."""
MM_STEPS = 20_000
NEWTON_LAST_STEP, MM_LAST_STEP = 1e-7, 1e-4
"""Largest Newton step, in log-odds, that a result may still be away from the maximum. A small gradient alone does
not show that: far from the maximum the likelihood is flat. MM stops by its gradient, so its last step is larger."""


@dataclass(frozen=True, slots=True, eq=False)
class Strengths:
    """A converged fit. P(i beats j) = sigmoid(s[i] - s[j]).

    `s` has shape (n,) and sums to 0. `covariance` has shape (n, n) and holds where weights are counts of independent
    ballots; differences that nothing was observed about have variance `UNKNOWN_VARIANCE`. `connected`: the ballots
    alone (not the support) tie all candidates together. `gradient_norm` is the largest entry of the gradient, each as
    a share of its candidate's total weight.
    """

    s: FloatArray
    covariance: FloatArray
    connected: bool
    iterations: int
    gradient_norm: float

    def order(self) -> tuple[int, ...]:
        """Candidates from strongest to weakest; equal strengths (to 1e-9) by lower number, so without chance."""
        return tuple(int(i) for i in np.argsort(-np.round(self.s, 9), kind="stable"))

    def variance_between(self, i: int, j: int) -> float:
        """Variance of s[i] - s[j], >= 0."""
        covariance = self.covariance
        return max(0.0, float(covariance[i, i] + covariance[j, j] - 2 * covariance[i, j]))


def fit_strengths(wins: ArrayLike, *, support: ArrayLike | None = None, prior_ballots: float = 0.5) -> Strengths:
    """Estimate how strong each candidate is from weighted ballots and support (damped Newton, MM as the fallback).

    P(i beats j) = sigmoid(s_i - s_j); strengths sum to 0. With no ballots exp(s_i) is proportional to the support.

    Args:
        wins: shape (n, n); wins[i, j] = weighted ballots preferring i over j, diagonal 0.
        support: shape (n,); weighted votes behind each candidate, >= 0. Candidates with less than a
            tenth of the largest get that tenth (`SUPPORT_FLOOR`). None, or all zeros: no support term.
        prior_ballots: ballots added, half each way, to every observed pair. >= 0.

    Returns:
        Two candidates, one ballot for the first, prior 0.5: s = [0.80, -0.80] (odds 1.25 to 0.25).
        No ballots, support [3, 1]: s = [0.55, -0.55] (odds 3 to 1).

    Raises:
        InvalidBallots: not square, negative, not finite, or a self-comparison; the round blames the sender.
        NotConverged: no finite strengths exist (prior 0 and somebody won everything) or the fit stalled; never
            swallowed, the node reports the round as failed.
        UsageError: `prior_ballots` is negative or not finite.
    """
    comparisons = compare(wins, support, prior_ballots)
    _require_bounded(comparisons)
    try:
        return _newton(comparisons)
    except (LinAlgError, NotConverged):
        return _mm(comparisons)


def fit_strengths_mm(wins: ArrayLike, *, support: ArrayLike | None = None, prior_ballots: float = 0.5) -> Strengths:
    """The same fit by minorise-maximise: slower, but it needs no matrix to be invertible on the way.

    t_i <- w_i / (sum_j N_ij / (t_i + t_j) + M / sum_j t_j), with w_i = ballots won + support, M = all support.
    Arguments, result and errors as `fit_strengths`: two candidates, one ballot for the first: s = [0.80, -0.80].
    """
    comparisons = compare(wins, support, prior_ballots)
    _require_bounded(comparisons)
    return _mm(comparisons)


def _require_bounded(comparisons: Comparisons) -> None:
    if not comparisons.bounded:
        raise NotConverged(
            "no finite strengths exist: some candidates won, or lost, every comparison with the rest; "
            "use prior_ballots > 0"
        )


def _newton(comparisons: Comparisons) -> Strengths:
    """Newton steps on the graph Laplacian from the weighted vote, each taken whole where L still rises at its end.

    Else damped: along a direction d the third derivative of L is at most R = max d - min d times the second, so the
    step log(1 + R) / R never passes the maximum (generalised self-concordance, Sun and Tran-Dinh 2019). So L rises
    every time.
    """
    weight = comparisons.weight
    s = np.log(comparisons.support) if comparisons.votes > 0 else np.zeros(len(comparisons.support))
    s, gradient = s - s.mean(), gradient_at(comparisons, s)
    for iteration in range(NEWTON_STEPS):
        solver = _Solver(comparisons, s)
        step = solver.solve(gradient)
        norm = float(np.abs(gradient / weight).max())
        if norm <= TOLERANCE and np.abs(step).max() <= NEWTON_LAST_STEP:
            return _strengths(comparisons, s, solver, norm, iteration)
        step *= LONGEST_STEP / max(float(np.ptp(step)), LONGEST_STEP)
        arrived = gradient_at(comparisons, s + step)
        if arrived @ step < 0:
            reach = float(np.ptp(step))
            step *= np.log1p(reach) / reach
            arrived = gradient_at(comparisons, s + step)
        s, gradient = s + step, arrived
    raise NotConverged(f"Newton did not converge in {NEWTON_STEPS} steps")


def _mm(comparisons: Comparisons) -> Strengths:
    first, second, wins = comparisons.first, comparisons.second, comparisons.wins
    total, weight, votes, n = (
        comparisons.won + comparisons.lost,
        comparisons.weight,
        comparisons.votes,
        len(wins),
    )
    t = np.ones(n)
    for iteration in range(MM_STEPS):
        meetings = total / (t[first] + t[second])
        expected = np.bincount(first, meetings, n) + np.bincount(second, meetings, n) + votes / t.sum()
        gradient = wins - t * expected
        if np.abs(gradient / weight).max() <= TOLERANCE:
            return _finish_mm(comparisons, np.log(t), iteration)
        t = np.where(expected > 0, wins / np.where(expected > 0, expected, 1.0), 1.0)
        t /= np.exp(np.log(t).mean())
    raise NotConverged(f"neither Newton nor MM ({MM_STEPS} steps) reached a gradient of {TOLERANCE:g}")


def _finish_mm(comparisons: Comparisons, s: FloatArray, iterations: int) -> Strengths:
    s = s - group_means(comparisons.tied, s)
    gradient = gradient_at(comparisons, s)
    try:
        solver = _Solver(comparisons, s)
    except LinAlgError as error:
        raise NotConverged("the likelihood is flat to rounding: the ballots do not determine the strengths") from error
    if np.abs(solver.solve(gradient)).max() > MM_LAST_STEP:
        raise NotConverged("the gradient is small only because the likelihood is flat there")
    norm = float(np.abs(gradient / comparisons.weight).max())
    return _strengths(comparisons, s, solver, norm, iterations)


class _Solver:
    """The Cholesky factor of the information at `s`, with one candidate of each tied group held at 0.

    Holding one down keeps a Laplacian that weak links survive; adding a constant to all entries would drown them.
    """

    def __init__(self, comparisons: Comparisons, s: FloatArray) -> None:
        information = information_at(comparisons, s)
        self.group = comparisons.tied
        self.held = _heaviest(information.diagonal(), self.group)
        information[self.held] = 0.0
        information[:, self.held] = 0.0
        information[self.held, self.held] = 1.0
        # LAPACK itself: with few candidates scipy's wrappers would take most of a fit's time.
        self.factor, fault = dpotrf(information, lower=1, clean=0)
        if fault:
            raise LinAlgError("the information is not positive definite")

    def solve(self, gradient: FloatArray) -> FloatArray:
        """The Newton step, mean 0 over every tied group."""
        pull = gradient.copy()
        pull[self.held] = 0.0
        solved, _ = dpotrs(self.factor, pull, lower=1)
        step = np.asarray(solved, dtype=np.float64)
        return step - group_means(self.group, step)

    def covariance(self) -> FloatArray:
        """Pseudo-inverse of the information; between groups that nothing ties together, `UNKNOWN_VARIANCE`."""
        # Not cho_solve(identity): on a busy machine its BLAS threads wait for each other, 16 ms in place of 0.03.
        half, _ = dtrtri(np.tril(self.factor), lower=1)
        covariance = np.asarray(half.T @ half, dtype=np.float64)
        covariance[self.held, self.held] = 0.0
        mean = covariance.sum(axis=1) / np.bincount(self.group)[self.group]
        together = self.group[:, None] == self.group[None, :]
        covariance -= together * (mean[:, None] + mean[None, :] - group_means(self.group, mean)[:, None])
        if not together.all():
            covariance += UNKNOWN_VARIANCE * (together / together.sum(axis=1) - 1.0 / len(mean))
        return covariance


def _heaviest(information: FloatArray, group: IntArray) -> IntArray:
    """The candidate of each group that most is known about; the first of equals."""
    if not group.any():
        return np.array([information.argmax()])
    order = np.argsort(-information, kind="stable")
    return np.asarray(order[np.unique(group[order], return_index=True)[1]], dtype=np.int64)


def _strengths(
    comparisons: Comparisons, s: FloatArray, solver: _Solver, gradient_norm: float, iterations: int
) -> Strengths:
    s = s - group_means(comparisons.tied, s)
    covariance = solver.covariance()
    s.setflags(write=False)
    covariance.setflags(write=False)
    return Strengths(s, covariance, comparisons.connected, iterations, gradient_norm)
