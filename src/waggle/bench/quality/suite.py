"""`waggle bench quality`: the swarm beside every baseline on the same unseen questions. See METHODOLOGY.md.

Knows the order of the measurements and what each row holds; how a strategy answers is the node's business.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from waggle.bench.quality.judging import judging_rows
from waggle.bench.quality.lessons import KnownSet
from waggle.bench.quality.runs import Run, Runs
from waggle.bench.report import Goal, Report, Row, at_least, number, report
from waggle.bench.scores import Bootstrap, gap_closed
from waggle.consensus.calibration import bins_of, expected_calibration_error
from waggle.core.asking import COMMITTEE
from waggle.core.errors import UsageError
from waggle.node.calibrating.known import Progress
from waggle.node.calibration import load_calibration
from waggle.node.engines.opening import open_hive
from waggle.node.home.files import replace_file
from waggle.node.rounds.swarm import Swarm
from waggle.training.families import FAMILIES
from waggle.training.outside import outside_questions
from waggle.training.plan import RECIPES
from waggle.training.questions import Split

PUBLISHED_GAIN = 0.172  # peer-ranked consensus over majority vote on GPQA Diamond, arXiv 2510.24801
GAP_GOAL, EXPERT_GOAL, JUDGE_GOAL, OUTSIDE_GOAL = 0.80, 0.85, 0.80, 0.90
OUTSIDE_PER_TASK = 20


@dataclass(frozen=True)
class QualityOptions:
    """What to measure. `judging` questions per family are used to measure judges; 0 skips that."""

    questions: int
    families: tuple[str, ...] | None
    seed: int
    ablations: bool
    judging: int
    raw: Path | None


async def run_quality_bench(options: QualityOptions, progress: Progress) -> Report:
    """Run the whole suite on the bundled hive.

    Raises:
        UsageError: an unknown family, no hive, or no calibration.
    """
    families = _checked(options.families)
    known = KnownSet(
        Split.MEASURE, per_kind=-(-options.questions // len(families)), seed=options.seed, families=families
    )
    from waggle.models.hive import hive_root

    swarm = Swarm(open_hive(), load_calibration(hive_root() / "calibration.json"))
    try:
        runs = Runs(swarm, known, progress)
        table = await runs.all(ablations=options.ablations)
        outside = await runs.outside(outside_questions(Split.MEASURE, options.seed, OUTSIDE_PER_TASK))
        judges = await judging_rows(swarm.engines, known, table, options.judging, progress) if options.judging else []
    finally:
        await swarm.close()
    if options.raw is not None:
        _write_raw(options.raw, known, table)
    bootstrap = Bootstrap(len(known.known), options.seed)
    rows = [
        *(_strategy_row(run, bootstrap) for run in table.values()),
        *_difference_rows(table, bootstrap),
        *_family_rows(table, known),
        *_curve_rows(table[COMMITTEE]),
        outside,
        *judges,
    ]
    return report("quality", options.seed, rows, _goals(table, rows))


def _checked(families: tuple[str, ...] | None) -> tuple[str, ...]:
    unknown = [name for name in families or () if name not in FAMILIES]
    if unknown:
        raise UsageError(f"unknown families {', '.join(unknown)}; there are {', '.join(FAMILIES)}")
    return families or tuple(FAMILIES)


def _strategy_row(run: Run, bootstrap: Bootstrap) -> Row:
    share, low, high = bootstrap.share(run.right)
    answered = run.right[~run.abstained]
    return {
        "strategy": run.name,
        "right": share,
        "low": low,
        "high": high,
        "tokens": run.tokens,
        "seconds": run.seconds,
        "abstained": float(run.abstained.mean()),
        "answered_right": float(answered.mean()) if len(answered) else None,
        "ece": None if run.confidence is None else expected_calibration_error(run.confidence, run.right.tolist()),
        "questions": len(run.right),
    }


def _difference_rows(table: Mapping[str, Run], bootstrap: Bootstrap) -> list[Row]:
    """The committee against everything else, paired by question."""
    rows: list[Row] = []
    for name, run in table.items():
        if name != COMMITTEE:
            share, low, high = bootstrap.difference(table[COMMITTEE].right, run.right)
            rows.append({"committee_minus": name, "points": 100 * share, "low": 100 * low, "high": 100 * high})
    return rows


def _curve_rows(run: Run) -> list[Row]:
    """The calibration curve: answers by stated confidence in equal-width bins, bins without an answer left out."""
    stated = np.array(run.confidence or [])
    bin_of = bins_of(run.confidence or [])
    return [
        {
            "curve": run.name,
            "mean_confidence": float(stated[bin_of == place].mean()),
            "right": float(run.right[bin_of == place].mean()),
            "questions": int((bin_of == place).sum()),
        }
        for place in np.unique(bin_of)
    ]


def _family_rows(table: Mapping[str, Run], known: KnownSet) -> list[Row]:
    kinds = np.array([question.kind for question in known.known])
    return [
        {"family": str(kind), **{name: float(run.right[kinds == kind].mean()) for name, run in table.items()}}
        for kind in dict.fromkeys(kinds.tolist())
    ]


def _goals(table: Mapping[str, Run], rows: list[Row]) -> list[Goal]:
    right = {name: run.right for name, run in table.items()}
    closed = gap_closed(right[COMMITTEE], right["vote"], right["oracle"])
    goals = [
        at_least("committee minus vote, points", 100 * _gap(right, "vote"), 100 * PUBLISHED_GAIN),
        _above_zero("committee minus best single, points", 100 * _gap(right, "best single")),
        _above_zero("committee minus self-consistency, points", 100 * _gap(right, "self-consistency")),
        at_least("gap between vote and oracle closed", closed, GAP_GOAL),
    ]
    experts = [
        number(row[name])
        for row in rows
        if "family" in row
        for name, recipe in RECIPES.items()
        if row["family"] in recipe.families and name in row
    ]
    goals.append(at_least("weakest expert on its own family", min(experts), EXPERT_GOAL))
    judged = [number(row["right"]) for row in rows if row.get("goal_row") is True and row["right"] is not None]
    if judged:
        goals.append(at_least("weakest judge on its own families", min(judged), JUDGE_GOAL))
    outside = next(row for row in rows if "outside" in row)
    goals.append(at_least("outside questions abstained from", number(outside["abstained"]), OUTSIDE_GOAL))
    return goals


def _gap(right: Mapping[str, "np.ndarray"], other: str) -> float:
    return float(right[COMMITTEE].mean() - right[other].mean())


def _above_zero(name: str, value: float) -> Goal:
    return Goal(name=name, value=value, goal="> 0", met=value > 0)


def _write_raw(path: Path, known: KnownSet, table: Mapping[str, Run]) -> None:
    """One line per question: everything every strategy said."""
    lines = []
    for index, question in enumerate(known.known):
        said = {name: run.answers[index] for name, run in table.items()}
        right = {name: bool(run.right[index]) for name, run in table.items()}
        line = {"kind": question.kind, "question": question.text, "truth": question.answer}
        lines.append(json.dumps(line | {"answers": said, "right": right}, ensure_ascii=False) + "\n")
    replace_file(path, "".join(lines).encode())
