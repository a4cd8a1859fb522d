"""How well each model tells a right answer from a wrong one: by method, on easy and hard wrong answers, in and out of
its own families, and how far the order shown decides."""

from collections.abc import Mapping, Sequence

import numpy as np

from waggle.bench.quality.lessons import KnownSet
from waggle.bench.quality.runs import Run
from waggle.bench.report import Row
from waggle.bench.scores import position_bias
from waggle.core.engine_values import JudgeMethod
from waggle.core.ids import NodeId
from waggle.engines.protocol import Engine
from waggle.models.hive import hive_folder, read_card
from waggle.node.calibrating.calibrate import Answered, Compared, Lessons, compare_all, hard_negatives
from waggle.node.calibrating.known import KnownQuestion, Progress
from waggle.training.families import FAMILIES
from waggle.training.plan import RECIPES

METHODS = (JudgeMethod.RESOLVE, JudgeMethod.VERDICT, JudgeMethod.DIRECT)


async def judging_rows(
    engines: Mapping[NodeId, Engine], known: KnownSet, table: Mapping[str, Run], per_family: int, progress: Progress
) -> list[Row]:
    """One row per model, kind of wrong answer and method; the wrong answers of `table`'s models are the hard ones.

    Rows of a model's default method carry `goal_row` True: they are what the goal for judging is held to.
    """
    asked = _some(known, per_family)
    answered = [
        Answered(NodeId(name), question, run.answers[index], bool(run.right[index]))
        for name, run in table.items()
        if name in engines
        for index, question in enumerate(known.known)
    ]
    hard = hard_negatives(answered)
    rows: list[Row] = []
    for label, negatives in (("easy", {}), ("hard", hard)):
        questions = [question for question in asked if label == "easy" or question.text in hard]
        lessons = Lessons(known=questions, rounds=(), outside=(), is_right=known.is_right)
        compared = await compare_all(engines, lessons, negatives, METHODS, _labelled(progress, label))
        rows += [_row(node, label, method, compared) for node in engines for method in METHODS]
    return rows


def _some(known: KnownSet, per_family: int) -> list[KnownQuestion]:
    by_family = {family: [q for q in known.known if q.kind == family] for family in FAMILIES}
    return [question for some in by_family.values() for question in some[:per_family]]


def _labelled(progress: Progress, label: str) -> Progress:
    return lambda activity, done, total: progress(f"{activity} {label}", done, total)


def _row(node: NodeId, label: str, method: JudgeMethod, compared: Sequence[Compared]) -> Row:
    mine = [item for item in compared if item.node == node and item.method is method]
    own = RECIPES[node].families if node in RECIPES else {}
    inside = [item for item in mine if item.question.kind in own]
    outside = [item for item in mine if item.question.kind not in own]
    decided = [item.right == item.right_first for item in mine if item.p is not None]
    return {
        "judge": str(node),
        "wrong_answers": label,
        "method": method.value,
        "right": _share(inside),
        "out_of_family": _share(outside),
        "position_bias": position_bias(decided),
        "pairs": len(inside),
        "goal_row": method.value == read_card(hive_folder(node)).judge,
    }


def _share(items: Sequence[Compared]) -> float | None:
    return float(np.mean([item.right for item in items])) if items else None
