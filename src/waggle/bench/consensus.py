"""Is the ranking fast, right and stable? Our Bradley-Terry fit against choix's three, on the same comparisons.

Method. *Speed*: wall time from ballots as lists to strengths with covariance, median of `repeats` runs after one
unmeasured run, at the protocol's largest round (64 candidates, 35 judges, 192 pairs each in both orders) and far
beyond it. *Agreement*: choix knows no prior on observed pairs, so its data gets what a prior of 2 ballots a pair means,
one win each way; its own regularisation is off; compared are the strengths (mean 0) and the log-likelihood on that
data, higher is better. *Coverage*: how often the difference of two true strengths lies within 1.96 standard errors of
the fitted one, over rounds with known strengths. *Failures*: fits refused among random problems of every size.

Times are wall times on whatever else the machine is doing. With few cores, one BLAS thread is quicker than many.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import sqrt
from time import perf_counter
from typing import TypeVar

import numpy as np
import scipy
from scipy.special import expit

from waggle.bench.report import Goal, Report, Row, at_least, at_most, number, report
from waggle.consensus.bradley_terry import Strengths, fit_strengths, fit_strengths_mm, wins_matrix
from waggle.consensus.comparisons import FloatArray, IntArray
from waggle.core.errors import NotConverged, UsageError

LARGEST_ROUND_MS = 3.0
FAR_BEYOND_MS = 1000.0
SAME_STRENGTHS = 1e-3
"""choix stops at a change of 1e-8 per step (or its optimiser's 1e-5), so it is the looser of the two."""
COVERAGE = 0.93
"""95 % is nominal; the normal approximation and the prior may take some of it."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Ballots:
    """A simulated round: B ballots among n candidates of known strength, all of shape (B,)."""

    n: int
    truth: FloatArray
    first: IntArray
    second: IntArray
    p: FloatArray
    weight: FloatArray

    def fit(self) -> Strengths:
        """From ballots as they arrive to strengths."""
        return fit_strengths(wins_matrix(self.first, self.second, self.p, self.weight, self.n))


def run_consensus_bench(seed: int, repeats: int) -> Report:
    """Run the suite; about 20 s with 20 repeats.

    Args:
        seed: of all simulated ballots.
        repeats: timed runs of each fit, >= 1.

    Raises:
        UsageError: choix is not installed, or `repeats` is below 1.
    """
    if repeats < 1:
        raise UsageError(f"repeats must be at least 1, got {repeats}")
    rng = np.random.default_rng(seed)
    rows = [*_speed_rows(rng, repeats), *_agreement_rows(rng, repeats), _coverage_row(rng), _failure_row(rng)]
    goals = _goals({str(row["name"]): row for row in rows})
    blas_threads = os.environ.get("OMP_NUM_THREADS", "default")
    return report(
        "consensus", seed, rows, goals, numpy=np.__version__, scipy=scipy.__version__, blas_threads=blas_threads
    )


def _speed_rows(rng: np.random.Generator, repeats: int) -> Iterator[Row]:
    for name, n, ballots in (("largest round", 64, 35 * 2 * 192), ("far beyond", 1000, 100_000)):
        round_ = _simulate(rng, n, ballots)
        found, times = _timed(round_.fit, repeats)
        yield {
            "name": name,
            "candidates": n,
            "ballots": ballots,
            **times,
            "iterations": found.iterations,
            "gradient_norm": found.gradient_norm,
            "correlation_with_truth": float(np.corrcoef(found.s, round_.truth)[0, 1]),
        }


def _agreement_rows(rng: np.random.Generator, repeats: int) -> Iterator[Row]:
    try:
        import choix
    except ImportError as error:
        raise UsageError(
            "the consensus suite compares with choix, which is not installed: pip install choix"
        ) from error
    for n, ballots in ((8, 200), (64, 4000)):
        whole = _whole_wins(_simulate(rng, n, ballots))
        data = [pair for pair in zip(*np.nonzero(whole), strict=True) for _ in range(int(whole[pair]))]
        prior_less = whole - (whole + whole.T > 0)
        ours, times = _timed(partial(fit_strengths, prior_less, prior_ballots=2), repeats)
        likelihood = float(choix.log_likelihood_pairwise(data, ours.s))
        yield {"name": f"waggle Newton, {n}", "candidates": n, "log_likelihood": likelihood, **times}
        fits: dict[str, Callable[[], FloatArray]] = {
            "waggle MM": partial(_mm_strengths, prior_less),
            "choix ilsr_pairwise": partial(choix.ilsr_pairwise, n, data),
            "choix mm_pairwise": partial(choix.mm_pairwise, n, data),
            "choix opt_pairwise": partial(choix.opt_pairwise, n, data, alpha=0.0),
        }
        for name, fit in fits.items():
            theirs, times = _timed(fit, max(1, repeats // 5))
            yield {
                "name": f"{name}, {n}",
                "candidates": n,
                "log_likelihood": float(choix.log_likelihood_pairwise(data, theirs)),
                "newton_ahead_by": likelihood - float(choix.log_likelihood_pairwise(data, theirs)),
                "largest_difference": float(np.abs(theirs - np.mean(theirs) - ours.s).max()),
                **times,
            }


def _mm_strengths(wins: FloatArray) -> FloatArray:
    return fit_strengths_mm(wins, prior_ballots=2).s


def _coverage_row(rng: np.random.Generator, rounds: int = 1000) -> Row:
    inside = []
    for _ in range(rounds):
        round_ = _simulate(rng, 10, 600, whole=True)
        found = round_.fit()
        for i in range(10):
            for j in range(i):
                miss = found.s[i] - found.s[j] - (round_.truth[i] - round_.truth[j])
                inside.append(abs(miss) <= 1.96 * sqrt(found.variance_between(i, j)))
    return {"name": "coverage of 95 % intervals", "rounds": rounds, "value": float(np.mean(inside))}


def _failure_row(rng: np.random.Generator, problems: int = 1000) -> Row:
    """Fits refused, and Newton steps, over problems of 1 to 30 candidates with weights from 0.001 to 10,000."""
    refused, steps = 0, []
    for _ in range(problems):
        n = int(rng.integers(1, 31))
        wins = rng.random((n, n)) * (rng.random((n, n)) < rng.random() ** 2) * 10 ** rng.uniform(-3, 4, (n, n))
        np.fill_diagonal(wins, 0.0)
        try:
            steps.append(fit_strengths(wins, support=rng.random(n)).iterations)
        except NotConverged:
            refused += 1
    return {"name": "fits refused", "problems": problems, "value": refused, "mean_steps": float(np.mean(steps))}


def _goals(rows: dict[str, Row]) -> list[Goal]:
    theirs = [row for name, row in rows.items() if name.startswith("choix")]
    behind = min(number(row["newton_ahead_by"]) for row in theirs)
    apart = max(number(row["largest_difference"]) for row in theirs)
    beaten = all(
        number(rows[f"waggle Newton, {row['candidates']}"]["median_ms"]) < number(row["median_ms"]) for row in theirs
    )
    largest, beyond = (number(rows[name]["median_ms"]) for name in ("largest round", "far beyond"))
    covered, refused = (number(rows[name]["value"]) for name in ("coverage of 95 % intervals", "fits refused"))
    return [
        at_most("64 candidates, 35 judges", largest, LARGEST_ROUND_MS, " ms"),
        at_most("1,000 candidates, 100,000 ballots", beyond, FAR_BEYOND_MS, " ms"),
        at_least("log-likelihood ahead of choix, least", behind, -1e-9),
        at_most("strengths away from choix, most", apart, SAME_STRENGTHS),
        at_least("faster than every choix fit", float(beaten), 1),
        at_least("coverage of 95 % intervals", covered, COVERAGE),
        at_most("fits refused", refused, 0),
    ]


def _simulate(rng: np.random.Generator, n: int, ballots: int, *, whole: bool = False) -> Ballots:
    """Random pairs of candidates with normal strengths; noisy probabilities and weights, or plain wins."""
    truth = rng.normal(size=n)
    first = rng.integers(0, n, ballots)
    second = (first + rng.integers(1, n, ballots)) % n
    gap = truth[first] - truth[second]
    if whole:
        won = (rng.random(ballots) < expit(gap)).astype(np.float64)
        return Ballots(n, truth, first, second, won, np.ones(ballots))
    return Ballots(n, truth, first, second, expit(gap + rng.normal(size=ballots)), rng.uniform(0, 2, ballots))


def _whole_wins(round_: Ballots) -> FloatArray:
    """Ballots rounded to wins, one more each way on every observed pair: what choix can read."""
    wins = wins_matrix(round_.first, round_.second, np.round(round_.p), np.ones(len(round_.p)), round_.n)
    return wins + (wins + wins.T > 0)


def _timed(run: Callable[[], Result], repeats: int) -> tuple[Result, dict[str, float]]:
    """The result of an unmeasured run, and the median, lowest and highest wall time of `repeats` more, in ms."""
    result, times = run(), []
    for _ in range(repeats):
        start = perf_counter()
        run()
        times.append(1000 * (perf_counter() - start))
    return result, {"median_ms": float(np.median(times)), "lowest_ms": min(times), "highest_ms": max(times)}
