"""Who beat whom: a table of candidates against candidates, tinted by the judges' mean verdict."""

from collections.abc import Mapping, Sequence

from waggle.core.round_picture import pairwise
from waggle.core.round_values import BallotReceived, CandidateResult, Record
from waggle.dashboard.frame.elements import box, empty_state, words
from waggle.dashboard.frame.words import one_line

MOST = 12
"""Candidates shown, the strongest first."""
LABEL = 32


def tint(p: float) -> str:
    """From red (always loses) over none (even) to green (always wins)."""
    colour = "var(--win)" if p >= 0.5 else "var(--lose)"
    return f"background: color-mix(in srgb, {colour} {round(abs(p - 0.5) * 110)}%, var(--panel))"


def draw_heat_map(record: Record) -> None:
    """Draw it, or say why there is none."""
    ballots = tuple(event.ballot for event in record.events if isinstance(event, BallotReceived))
    shares = pairwise(record.plan, ballots)
    candidates = record.outcome.candidates[:MOST]
    if not shares:
        reason = "There was nothing to compare." if len(candidates) < 2 else "This way of answering asks no judges."
        empty_state("grid_off", "No ballots", reason)
        return
    with box("scroll-x", tabindex="0", role="region", aria_label="Who beat whom"), box("heat who-beat-whom", "table"):
        with box("", "thead"), box("", "tr"):
            words("the row beats", "", "th", scope="col")
            for place in range(1, len(candidates) + 1):
                words(str(place), "", "th", scope="col").style("text-align: center")
        with box("", "tbody"):
            for place, row in enumerate(candidates, 1):
                _row(place, row, candidates, shares)


def _row(
    place: int, row: CandidateResult, candidates: Sequence[CandidateResult], shares: Mapping[tuple[int, int], float]
) -> None:
    with box("", "tr"):
        words(f"{place}. {one_line(row.answer, LABEL)}", "", "th", scope="row")
        for column in candidates:
            p = shares.get((row.number, column.number))
            if p is None:
                words("" if row is column else "–", "none", "td")
            else:
                words(f"{100 * p:.0f}", "", "td").style(tint(p))
