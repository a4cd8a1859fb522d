"""Measures a swarm's engines on questions with known answers and fits how sure a winner may make it.

Four steps: every engine answers; every engine compares right answers with wrong ones, preferably with the other
engines' own; a classifier learns the kinds; whole rounds on further questions, and on questions of no known kind,
teach the confidence. Knows nothing of where the questions come from.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import msgspec

from waggle.consensus.calibration import fit_platt
from waggle.consensus.confidence import ConfidenceFeatures
from waggle.core.asking import AskOptions
from waggle.core.engine_values import GenerateRequest, JudgeMethod, JudgeRequest
from waggle.core.errors import EngineError
from waggle.core.ids import NodeId
from waggle.core.round_values import Budget, ConfidenceModel, Outcome
from waggle.engines.protocol import Engine
from waggle.node.calibrating.known import IsRight, KnownQuestion, Progress, each
from waggle.node.calibration import Calibration
from waggle.node.rounds.swarm import Swarm
from waggle.routing.kinds import fit_kinds
from waggle.routing.skills import NodeSkills, SkillCount
from waggle.strategies.ways import ways

METHODS = (JudgeMethod.RESOLVE, JudgeMethod.VERDICT)
ROUND_SECONDS = 600.0  # a crowd of rounds shares the engines: each takes far longer than one asked alone


@dataclass(frozen=True)
class Lessons:
    """What to calibrate with. `known` measures skills; `rounds` and `outside` (no known kind) teach the confidence."""

    known: Sequence[KnownQuestion]
    rounds: Sequence[KnownQuestion]
    outside: Sequence[str]
    is_right: IsRight


class Answered(NamedTuple):
    """One engine's answer to one question; "" where it failed."""

    node: NodeId
    question: KnownQuestion
    answer: str
    right: bool


class Compared(NamedTuple):
    """One engine's comparison of a right answer with a wrong one."""

    node: NodeId
    question: KnownQuestion
    method: JudgeMethod
    right: bool
    right_first: bool
    p: float | None


Engines = Mapping[NodeId, Engine]


async def calibrate(engines: Engines, lessons: Lessons, *, seed: int, progress: Progress) -> Calibration:
    """Run all four steps.

    Raises:
        UsageError, NotConverged: too few questions to fit anything on.
    """
    answered = await answer_all(engines, lessons, progress)
    compared = await compare_all(engines, lessons, hard_negatives(answered), METHODS, progress)
    methods = {node: _better_method(compared, node) for node in engines}
    calibration = Calibration(
        nodes={node: _skills(node, answered, compared, methods[node]) for node in engines},
        judge_methods={str(node): method for node, method in methods.items()},
        chances=_chances(lessons.known),
        kinds=fit_kinds(_labelled(lessons.known), further=_labelled(lessons.rounds)),
        questions_per_kind=min(Counter(question.kind for question in lessons.known).values()),
        seed=seed,
    )
    confidence = await _fit_confidence(engines, calibration, lessons, progress)
    return msgspec.structs.replace(calibration, confidence=confidence)


def _labelled(questions: Sequence[KnownQuestion]) -> list[tuple[str, str]]:
    return [(question.text, question.kind) for question in questions]


async def answer_all(engines: Engines, lessons: Lessons, progress: Progress) -> list[Answered]:
    """Every engine answers every known question, greedily."""

    async def ask(pair: tuple[NodeId, KnownQuestion]) -> Answered:
        node, question = pair
        try:
            made = await engines[node].generate(GenerateRequest(question=question.text))
        except EngineError:
            return Answered(node, question, "", False)
        return Answered(node, question, made.answer, lessons.is_right(question, made.answer))

    pairs = [(node, question) for question in lessons.known for node in engines]
    return await each(pairs, ask, lambda done: progress("answering", done, len(pairs)))


def hard_negatives(answered: Sequence[Answered]) -> dict[str, str]:
    """For each question one of the wrong answers that engines gave, where any engine was wrong.

    Over many questions all of them get their turn, the rare ones as often as the common: a judge that merely dislikes
    the commonest mistake must not look skilled.
    """
    wrong: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for item in answered:
        if item.answer and not item.right:
            wrong[item.question.text][item.answer] = None
    return {text: list(given)[turn % len(given)] for turn, (text, given) in enumerate(wrong.items())}


async def compare_all(
    engines: Engines,
    lessons: Lessons,
    negatives: Mapping[str, str],
    methods: Sequence[JudgeMethod],
    progress: Progress,
) -> list[Compared]:
    """Every engine compares the right answer with a wrong one, in both orders, by every method."""

    async def compare(asked: tuple[NodeId, KnownQuestion, JudgeMethod, bool]) -> Compared:
        node, question, method, right_first = asked
        wrong = negatives.get(question.text, question.wrong)
        first, second = (question.answer, wrong) if right_first else (wrong, question.answer)
        request = JudgeRequest(question=question.text, first=first, second=second, method=method)
        try:
            p = (await engines[node].judge(request)).p
        except EngineError:
            p = None
        return Compared(node, question, method, p is not None and (p > 0.5 if right_first else p < 0.5), right_first, p)

    asked = [
        (node, question, method, right_first)
        for question in lessons.known
        for node in engines
        for method in methods
        for right_first in (True, False)
    ]
    return await each(asked, compare, lambda done: progress("judging", done, len(asked)))


def _better_method(compared: Sequence[Compared], node: NodeId) -> JudgeMethod:
    """The method that was right more often; at a tie the one that needs no training."""
    right = Counter(item.method for item in compared if item.node == node and item.right)
    return max(METHODS, key=lambda method: right[method])


def _skills(
    node: NodeId, answered: Sequence[Answered], compared: Sequence[Compared], method: JudgeMethod
) -> NodeSkills:
    judged = [(item.question.kind, item.right) for item in compared if item.node == node and item.method is method]
    return NodeSkills(
        proposer=_counts([(item.question.kind, item.right) for item in answered if item.node == node]),
        judge=_counts(judged),
    )


def _counts(results: Sequence[tuple[str, bool]]) -> dict[str, SkillCount]:
    asked = Counter(kind for kind, _ in results)
    right = Counter(kind for kind, good in results if good)
    return {kind: SkillCount(float(right[kind]), float(count)) for kind, count in asked.items()}


def _chances(known: Sequence[KnownQuestion]) -> dict[str, float]:
    """Per kind, how often somebody who always gives the commonest answer is right."""
    answers: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for question in known:
        answers[question.kind][question.answer] += 1
    return {kind: max(counts.values()) / counts.total() for kind, counts in answers.items()}


async def _fit_confidence(
    engines: Engines, calibration: Calibration, lessons: Lessons, progress: Progress
) -> dict[str, ConfidenceModel]:
    """Whole rounds on fresh questions, half of them of no known kind, and a logistic fit to who was right."""
    swarm = Swarm(engines, calibration)
    strategies = _strategies(engines)
    asked: list[tuple[str, KnownQuestion | None]] = [(question.text, question) for question in lessons.rounds]
    asked += [(text, None) for text in lessons.outside]
    total = len(asked) * sum(map(len, strategies.values()))
    models, before = {}, 0
    for name, variants in strategies.items():
        runs = [(strategy, text, known) for strategy in variants for text, known in asked]

        async def run(item: tuple[str, str, KnownQuestion | None]) -> tuple[Outcome, bool]:
            strategy, text, known = item
            options = AskOptions(strategy=strategy, min_confidence=0.0, budget=Budget(seconds=ROUND_SECONDS))
            outcome = (await swarm.ask(text, options)).outcome
            right = known is not None and outcome.answer is not None and lessons.is_right(known, outcome.answer)
            return outcome, right

        results = await each(runs, run, partial(_tell_rounds, progress, before, total))
        before += len(runs)
        models[name] = _fit([(outcome, right) for outcome, right in results if outcome.features])
    return models


def _strategies(engines: Engines) -> dict[str, list[str]]:
    """By the name of a fit, the strategies whose rounds teach it: a way that takes a model is asked for each."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for way in ways():
        if way.confidence:
            found[way.confidence] += [f"{way.name}:{node}" for node in engines] if way.takes else [way.name]
    return found


def _tell_rounds(progress: Progress, before: int, total: int, done: int) -> None:
    progress("rounds", before + done, total)


def _fit(results: Sequence[tuple[Outcome, bool]]) -> ConfidenceModel:
    features = [msgspec.convert(outcome.features, ConfidenceFeatures) for outcome, _ in results]
    fitted = fit_platt(features, [right for _, right in results])
    return ConfidenceModel(intercept=fitted.intercept, coefficients=fitted.coefficients)
