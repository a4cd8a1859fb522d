"""Carries every strategy out on the same questions and keeps who was right, how sure, at what cost."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from msgspec.structs import replace as change
from numpy.typing import NDArray

from waggle.bench.quality.lessons import KnownSet
from waggle.bench.report import Row
from waggle.consensus.grouping import group_answers
from waggle.consensus.votes import confidence_vote, plurality
from waggle.core.asking import COMMITTEE, AskOptions
from waggle.core.engine_values import GenerateRequest, Generation, JudgeMethod, Sampling
from waggle.core.ids import NodeId
from waggle.core.round_values import Record
from waggle.engines.remembering import RememberingEngine
from waggle.node.calibrating.known import KnownQuestion, Progress, each
from waggle.node.rounds.swarm import Swarm
from waggle.strategies.ways import ways

Result = TypeVar("Result")

AT_ONCE = 16
SAMPLES_TEMPERATURE = 0.7
MOST_SAMPLES = 64

ABLATIONS: dict[str, Callable[[AskOptions], AskOptions]] = {
    "verdict without a reason": lambda options: change(options, judge_method=JudgeMethod.DIRECT),
    "no weights": lambda options: change(options, use_weights=False),
    "no support prior": lambda options: change(options, use_support=False),
    "one order only": lambda options: change(options, both_orders=False),
    "half the ballots": lambda options: change(options, pairs_per_judge=1),
}


@dataclass(frozen=True)
class Run:
    """One strategy on all questions. `tokens` and `seconds` are per question; None where they were not measured."""

    name: str
    answers: list[str]
    right: NDArray[np.bool_]
    tokens: float | None
    seconds: float | None
    abstained: NDArray[np.bool_]
    confidence: list[float] | None = None


class Runs:
    """Runs on one swarm and one set of questions."""

    def __init__(self, swarm: Swarm, known: KnownSet, progress: Progress) -> None:
        self._swarm, self._known, self._progress = swarm, known, progress

    async def all(self, *, ablations: bool) -> dict[str, Run]:
        """Every way of answering and every baseline of METHODOLOGY.md, by name."""
        made = {node: await self._alone(node) for node in self._swarm.engines}
        singles = {str(node): run for node, (run, _) in made.items()}
        generations = {node: generations for node, (_, generations) in made.items()}
        best = max(singles.values(), key=lambda run: int(run.right.sum()))
        table = dict(singles)
        table["best single"] = replace(best, name="best single")
        table |= self._votes(generations, singles)
        table["weighted vote"] = await self._rounds("weighted vote", AskOptions(use_judges=False))
        for way in ways():
            if not way.takes and way.name not in table:
                table[way.name] = await self._rounds(way.name, AskOptions(strategy=way.name))
        table["self-consistency"] = await self._samples(NodeId(best.name), table[COMMITTEE].tokens or 0.0)
        oracle = np.any([run.right for run in singles.values()], axis=0)
        table["oracle"] = self._run("oracle", [""] * len(oracle), None, None, right=oracle)
        return table | (await self._ablations() if ablations else {})

    async def _alone(self, node: NodeId) -> tuple[Run, list[Generation]]:
        engine = self._swarm.engines[node]

        async def ask(question: KnownQuestion) -> Generation:
            return await engine.generate(GenerateRequest(question=question.text))

        made, seconds = await self._timed(str(node), ask)
        tokens = float(np.mean([item.prompt_tokens + item.completion_tokens for item in made]))
        return self._run(str(node), [item.answer for item in made], tokens, seconds), made

    def _votes(self, made: Mapping[NodeId, list[Generation]], singles: Mapping[str, Run]) -> dict[str, Run]:
        """Plurality and confidence-weighted plurality of the same seven answers; they cost all seven."""
        tokens = sum(run.tokens or 0.0 for run in singles.values())
        seconds = sum(run.seconds or 0.0 for run in singles.values())
        plain, sure = [], []
        for generations in zip(*made.values(), strict=True):
            groups = group_answers([item.answer for item in generations])
            voters = [(index, member) for index, group in enumerate(groups) for member in group.members]
            voters.sort(key=lambda pair: pair[1])
            choices = [index for index, _ in voters]
            confidence = [generations[member].self_confidence for _, member in voters]
            plain.append(groups[plurality(choices, len(groups)).winner].answer if groups else "")
            sure.append(groups[confidence_vote(choices, confidence, len(groups)).winner].answer if groups else "")
        return {
            "vote": self._run("vote", plain, tokens, seconds),
            "confidence vote": self._run("confidence vote", sure, tokens, seconds),
        }

    async def _rounds(self, name: str, options: AskOptions, *, swarm: Swarm | None = None) -> Run:
        """Whole rounds; the confidence is the calibrated one."""
        asked = swarm or self._swarm

        async def ask(question: KnownQuestion) -> Record:
            return await asked.ask(question.text, options)

        records, seconds = await self._timed(name, ask)
        outcomes = [record.outcome for record in records]
        tokens = [record.used_tokens for record in records]
        run = self._run(
            name,
            [outcome.answer or "" for outcome in outcomes],
            float(np.mean(tokens)),
            seconds if swarm is None else None,
        )
        return replace(
            run,
            abstained=np.array([outcome.abstained for outcome in outcomes]),
            confidence=[outcome.confidence for outcome in outcomes],
        )

    async def _samples(self, node: NodeId, budget: float) -> Run:
        """Self-consistency: as many samples per question as the committee's mean tokens pay for, at least one."""
        engine = self._swarm.engines[node]

        async def ask(question: KnownQuestion) -> tuple[str, int]:
            answers: list[str] = []
            tokens = 0
            while tokens < budget and len(answers) < MOST_SAMPLES:
                sampling = Sampling(temperature=SAMPLES_TEMPERATURE, seed=len(answers) + 1)
                made = await engine.generate(GenerateRequest(question=question.text, sampling=sampling))
                answers.append(made.answer)
                tokens += made.prompt_tokens + made.completion_tokens
            groups = group_answers(answers)
            return (max(groups, key=lambda group: len(group.members)).answer if groups else ""), tokens

        results, seconds = await self._timed("self-consistency", ask)
        tokens = float(np.mean([tokens for _, tokens in results]))
        return self._run("self-consistency", [answer for answer, _ in results], tokens, seconds)

    async def _ablations(self) -> dict[str, Run]:
        """The swarm with parts taken away, on remembered engines: their answers are the same, so no seconds."""
        engines = {node: RememberingEngine(engine) for node, engine in self._swarm.engines.items()}
        swarm = Swarm(engines, self._swarm.calibration)
        return {
            name: await self._rounds(name, without(AskOptions()), swarm=swarm) for name, without in ABLATIONS.items()
        }

    async def outside(self, texts: Sequence[str]) -> Row:
        """How sure the swarm is of questions that nobody in it can know."""

        async def ask(text: str) -> Record:
            return await self._swarm.ask(text, AskOptions())

        records = await each(texts, ask, lambda done: self._progress("outside", done, len(texts)), AT_ONCE)
        confidence = [record.outcome.confidence for record in records]
        return {
            "outside": "questions of no family",
            "questions": len(texts),
            "mean_confidence": float(np.mean(confidence)),
            "highest_confidence": float(np.max(confidence)),
            "abstained": float(np.mean([record.outcome.abstained for record in records])),
        }

    async def _timed(self, name: str, ask: Callable[[KnownQuestion], Awaitable[Result]]) -> tuple[list[Result], float]:
        asked = self._known.known
        began = time.monotonic()
        results = await each(asked, ask, lambda done: self._progress(name, done, len(asked)), AT_ONCE)
        return results, (time.monotonic() - began) / len(asked)

    def _run(
        self,
        name: str,
        answers: list[str],
        tokens: float | None,
        seconds: float | None,
        right: NDArray[np.bool_] | None = None,
    ) -> Run:
        if right is None:
            scored = [self._known.is_right(q, answer) for q, answer in zip(self._known.known, answers, strict=True)]
            right = np.array(scored)
        return Run(name, answers, right, tokens, seconds, np.zeros(len(answers), dtype=bool))
