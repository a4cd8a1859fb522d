"""What `waggle bench quality --json` wrote, read strictly: the figures that the page shows. Pure but for one read."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from waggle.core.asking import COMMITTEE
from waggle.core.errors import UsageError
from waggle.node.home.files import read_json
from waggle.strategies.ways import names

MOST_BYTES = 4 * 1024 * 1024
MOST_ROWS = 2_000
BASELINES = {
    "best single": "the one model that is right most often",
    "self-consistency": "that model, asked many times",
    "oracle": "what a perfect choice among the answers would reach",
}
"""What the ways of answering are shown beside, and what it is."""

Value = str | int | float | bool | None


class Report(Struct, frozen=True):
    """The report's outer form; further fields are other suites' business."""

    suite: str
    rows: list[dict[str, Value]]
    version: str = ""
    seed: int = 0


class Accuracy(Struct, frozen=True, kw_only=True):
    """One strategy: share right and its interval, and what a right answer costs in tokens and seconds."""

    name: str
    right: float
    low: float
    high: float
    tokens_per_right: float | None
    seconds_per_right: float | None
    abstained: float | None
    error: float | None
    questions: int


class CurvePoint(Struct, frozen=True, kw_only=True):
    """Answers of about this confidence, and how many of them were right."""

    confidence: float
    right: float
    questions: int


class Quality(Struct, frozen=True, kw_only=True):
    """All that is shown of a report."""

    strategies: tuple[Accuracy, ...]
    curve: tuple[CurvePoint, ...]
    version: str


def read_quality(path: Path) -> Quality:
    """The figures of a file.

    Raises:
        UsageError: missing, oversize, or not a report of this suite.
    """
    report = read_json(path, Report, name="quality report", most_bytes=MOST_BYTES)
    if report.suite != "quality":
        raise UsageError("the file is a report of another suite")
    quality = figures(report)
    if not quality.strategies:
        raise UsageError("the report has no row that says how often a strategy is right")
    return quality


def figures(report: Report) -> Quality:
    """The figures of a report; rows that lack what is needed are left out."""
    rows = report.rows[:MOST_ROWS]
    found = {accuracy.name: accuracy for row in rows if (accuracy := _accuracy(row)) is not None}
    ordered = tuple(found[name] for name in (*names(), *BASELINES) if name in found)
    curve = tuple(sorted(_curve(rows), key=lambda point: point.confidence))
    return Quality(strategies=ordered, curve=curve, version=report.version)


def _accuracy(row: dict[str, Value]) -> Accuracy | None:
    name, right = row.get("strategy"), _share(row.get("right"))
    if not isinstance(name, str) or right is None:
        return None
    low, high = _share(row.get("low")), _share(row.get("high"))
    questions = row.get("questions")
    return Accuracy(
        name=name,
        right=right,
        low=right if low is None else low,
        high=right if high is None else high,
        tokens_per_right=_per_right(row.get("tokens"), right),
        seconds_per_right=_per_right(row.get("seconds"), right),
        abstained=_share(row.get("abstained")),
        error=_share(row.get("ece")),
        questions=questions if isinstance(questions, int) else 0,
    )


def _curve(rows: Sequence[dict[str, Value]]) -> Iterator[CurvePoint]:
    for row in rows:
        confidence, right, questions = (
            _share(row.get("mean_confidence")),
            _share(row.get("right")),
            row.get("questions"),
        )
        if (
            row.get("curve") == COMMITTEE
            and confidence is not None
            and right is not None
            and isinstance(questions, int)
        ):
            yield CurvePoint(confidence=confidence, right=right, questions=questions)


def _share(value: Value) -> float | None:
    return float(value) if _is_number(value) and 0 <= value <= 1 else None  # type: ignore[arg-type,operator]


def _per_right(value: Value, right: float) -> float | None:
    return float(value) / right if _is_number(value) and value >= 0 and right > 0 else None  # type: ignore[arg-type,operator]


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
