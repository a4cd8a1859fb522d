"""Pictures of bench reports, as PNG files. matplotlib is imported here and only when a plot is asked for."""

from pathlib import Path
from typing import TYPE_CHECKING

from waggle.bench.report import Report, Row, number
from waggle.core.asking import COMMITTEE
from waggle.core.errors import UsageError
from waggle.strategies.ways import names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HONEY, SLATE, LEAF, GREY = "#e0a526", "#44546a", "#5b8c5a", "#b8bcc2"
BASELINES = {"best single", "confidence vote", "weighted vote", "self-consistency", *names()}


def plot_quality(result: Report, path: Path) -> None:
    """Left: who was right how often, with intervals. Right: the same by family.

    Raises:
        UsageError: the file cannot be written.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    strategies = [row for row in result["rows"] if "strategy" in row]
    families = [row for row in result["rows"] if "family" in row]
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(15, 0.32 * len(strategies) + 2.2), width_ratios=(1, 1.1), layout="constrained"
    )
    places = range(len(strategies))[::-1]
    shares = [100 * number(row["right"]) for row in strategies]
    below = [share - 100 * number(row["low"]) for share, row in zip(shares, strategies, strict=True)]
    above = [100 * number(row["high"]) - share for share, row in zip(shares, strategies, strict=True)]
    left.barh(places, shares, xerr=(below, above), color=[_colour(str(row["strategy"])) for row in strategies])
    left.set_yticks(places, [str(row["strategy"]) for row in strategies])
    for place, share in zip(places, shares, strict=True):
        left.text(1.5, place, f"{share:.1f}", va="center", color="white", fontsize=8)
    left.set_xlim(0, 100)
    questions = strategies[0]["questions"]
    left.set_title(f"right answers, % of {questions} unseen questions (95 % intervals)", fontsize=10)
    _heat_map(right, families, [str(row["strategy"]) for row in strategies])
    for side in ("top", "right"):
        left.spines[side].set_visible(False)
    try:
        figure.savefig(path, dpi=130)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    finally:
        plt.close(figure)


def _colour(name: str) -> str:
    if name == COMMITTEE:
        return HONEY
    if name == "oracle":
        return LEAF
    return SLATE if name in BASELINES else GREY


def _heat_map(axes: "Axes", families: list[Row], names: list[str]) -> None:
    """Strategies down, families across, share right in every cell."""
    cells = [[100 * number(row[name]) for row in families] for name in names]
    axes.imshow(cells, cmap="YlGn", vmin=0, vmax=100, aspect="auto")
    axes.set_xticks(range(len(families)), [str(row["family"]).replace("_", "\n") for row in families], fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    for y, line in enumerate(cells):
        for x, share in enumerate(line):
            axes.text(
                x, y, f"{share:.0f}", ha="center", va="center", fontsize=8, color="white" if share > 65 else "black"
            )
    axes.set_title("by family of question", fontsize=10)
