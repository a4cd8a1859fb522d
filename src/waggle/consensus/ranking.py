"""From ballots as rows to a ranking: for whoever has ballots and wants the mathematics alone."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike

from waggle.consensus.bradley_terry import Strengths, fit_strengths, wins_matrix
from waggle.consensus.comparisons import FloatArray
from waggle.consensus.confidence import winner_score
from waggle.core.errors import InvalidBallots

Row = tuple[int, int, float, float]
"""A ballot: the candidate shown first, the one shown second, P(first beats second), and the judge's weight."""


class Ranking(Struct, frozen=True, kw_only=True):
    """Candidates by strength.

    `order` has the strongest first, `strengths` one log-odds for each candidate by its number; they sum to 0, and
    P(i beats j) = sigmoid(strengths[i] - strengths[j]). `winner_p` in [0.5, 1] is P(the winner is stronger than the
    second), which is no probability of being right: judges err together. `fit` has the rest: covariance and whether the
    ballots tie all candidates together.
    """

    winner: int
    winner_p: float
    order: tuple[int, ...]
    strengths: tuple[float, ...]
    fit: Strengths


def rank_ballots(
    rows: Sequence[Row] | ArrayLike, candidates: int, *, support: ArrayLike | None = None, prior_ballots: float = 0.5
) -> Ranking:
    """Rank candidates by weighted ballots, and by the votes behind them where there are any.

    Args:
        rows: shape (B, 4), B >= 0; each a `Row`. Abstentions are left out.
        candidates: how many there are, >= 1; rows name them 0..candidates - 1.
        support: shape (candidates,); weighted votes behind each, >= 0.
        prior_ballots: as in `fit_strengths`.

    Returns:
        Two candidates, the one row (0, 1, 1.0, 1.0): strengths (0.80, -0.80), winner 0, winner_p 0.77.

    Raises:
        InvalidBallots: a row, a candidate, a probability or a weight is out of range. NotConverged: as `fit_strengths`.
    """
    first, second, p, weight = _columns(rows)
    fit = fit_strengths(
        wins_matrix(first.astype(np.int64), second.astype(np.int64), p, weight, candidates),
        support=support,
        prior_ballots=prior_ballots,
    )
    order = fit.order()
    return Ranking(winner=order[0], winner_p=winner_score(fit), order=order, strengths=tuple(fit.s.tolist()), fit=fit)


def _columns(rows: Sequence[Row] | ArrayLike) -> FloatArray:
    try:
        ballots = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidBallots("a ballot is four numbers: first, second, p, weight") from None
    if ballots.size and (ballots.ndim != 2 or ballots.shape[1] != 4):
        raise InvalidBallots(f"a ballot is a row of four numbers, got an array of shape {ballots.shape}")
    columns = ballots.reshape(-1, 4).T
    numbers = columns[:2]
    if not np.all((np.abs(numbers) < 2**31) & (numbers == np.floor(numbers))):
        raise InvalidBallots("a ballot names a candidate that is no whole number")
    return columns
