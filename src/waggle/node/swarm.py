"""A swarm inside one process: named engines and what was measured of them; ask it a question, get a record.

Every way of answering is a plan for the same round: the vote is a round without judges, the best node or a solo one a
round with one proposer. So they share deadlines, budgets, records and confidence.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from waggle.core.engine_values import JudgeMethod, Sampling
from waggle.core.errors import UsageError
from waggle.core.ids import NodeId, RoundId
from waggle.core.round_values import Budget, Plan, Record, Standing
from waggle.engines.protocol import Engine
from waggle.node.calibration import Calibration
from waggle.node.clock import Clock, SystemClock
from waggle.node.runner import Watch, run_round
from waggle.swarm.state import PROMPT_MARGIN

MAX_QUESTION_BYTES = 64 * 1024
SOLO = "solo:"


@dataclass(frozen=True)
class AskOptions:
    """How a question is to be answered. The last six exist for ablations and default to the full method."""

    strategy: str = "swarm"
    budget: Budget = field(default_factory=Budget)
    min_confidence: float = 0.5
    max_tokens: int = 256
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0
    judge_method: JudgeMethod = JudgeMethod.AUTO
    both_orders: bool = True
    pairs_per_judge: int | None = None
    use_weights: bool = True
    use_support: bool = True
    use_judges: bool = True


class Swarm:
    """Engines by node name, and their calibration if there is one."""

    def __init__(
        self, engines: Mapping[NodeId, Engine], calibration: Calibration | None = None, clock: Clock | None = None
    ) -> None:
        if not engines:
            raise UsageError("a swarm needs at least one engine")
        self.engines = dict(engines)
        known = calibration is not None and any(node in calibration.nodes for node in engines)
        self.calibration = calibration if known else None  # of other nodes it says nothing, and nobody would count
        self.clock = clock or SystemClock()

    async def ask(self, question: str, options: AskOptions | None = None, watch: Watch | None = None) -> Record:
        """Answer one question; the record holds the outcome and all that led to it.

        Raises:
            UsageError: an empty or oversize question, or an unknown strategy or model.
        """
        return await run_round(self.plan(question, options or AskOptions()), self.engines, self.clock, watch)

    def plan(self, question: str, options: AskOptions) -> Plan:
        """Fix everything that decides how the round goes."""
        check_question(question)
        standings, familiarity = self._standings(question)
        confidence = self.calibration.confidence.get(_kind_of_strategy(options.strategy)) if self.calibration else None
        base = Plan(
            round_id=RoundId(secrets.token_hex(16)),
            question=question,
            proposers=standings,
            judges=standings,
            budget=options.budget,
            max_tokens=_longest(question, options),
            sampling=options.sampling,
            min_confidence=options.min_confidence,
            familiarity=familiarity,
            confidence=confidence,
            seed=options.seed,
            strategy=options.strategy,
        )
        return _shaped(base, options)

    def _standings(self, question: str) -> tuple[tuple[Standing, ...], float]:
        """Who weighs how much on this question, the most skilled first, and how familiar the question is."""
        if self.calibration is None:
            return tuple(Standing(node=node) for node in self.engines), 0.5
        guess = self.calibration.guess(question)
        standings = [self.calibration.standing(node, guess) for node in self.engines]
        return tuple(sorted(standings, key=lambda standing: (-standing.skill, standing.node))), guess.certainty

    async def close(self) -> None:
        """Close every engine."""
        for engine in self.engines.values():
            await engine.close()


def check_question(question: str) -> None:
    """Raise UsageError unless this is a text that can be asked."""
    if not question.strip():
        raise UsageError("the question is empty")
    try:
        size = len(question.encode())
    except UnicodeEncodeError:
        raise UsageError("the question is not valid Unicode text: remove the lone surrogates") from None
    if size > MAX_QUESTION_BYTES:
        raise UsageError(f"the question is longer than {MAX_QUESTION_BYTES // 1024} KiB")


def _longest(question: str, options: AskOptions) -> int:
    """The longest answer asked for: no longer than a small budget pays for, so that at least one node is asked."""
    if options.budget.tokens is None:
        return options.max_tokens
    room = options.budget.tokens - len(question.encode()) - PROMPT_MARGIN
    return min(options.max_tokens, room) if room >= 1 else options.max_tokens


def _kind_of_strategy(strategy: str) -> str:
    """Solo rounds share one confidence model, whoever answers."""
    return "solo" if strategy == "best" or strategy.startswith(SOLO) else strategy


def _shaped(plan: Plan, options: AskOptions) -> Plan:
    """The plan of one strategy."""
    equal = tuple(Standing(node=standing.node, skill=standing.skill) for standing in plan.proposers)
    match options.strategy:
        case "swarm":
            plan = plan if options.use_weights else replace(plan, proposers=equal, judges=equal)
            return replace(
                plan,
                judges=plan.judges if options.use_judges else (),
                judge_method=options.judge_method,
                both_orders=options.both_orders,
                pairs_per_judge=options.pairs_per_judge,
                use_support=options.use_support,
            )
        case "vote":
            return replace(plan, proposers=equal, judges=(), count_self_confidence=False)
        case "best":
            return replace(plan, proposers=plan.proposers[:1], judges=())
        case strategy if strategy.startswith(SOLO):
            return replace(plan, proposers=(_named(plan, strategy.removeprefix(SOLO)),), judges=())
        case strategy:
            raise UsageError(f"unknown strategy {strategy!r}; there are swarm, vote, best and solo:MODEL")


def _named(plan: Plan, name: str) -> Standing:
    for standing in plan.proposers:
        if standing.node == name:
            return standing
    names = ", ".join(sorted(standing.node for standing in plan.proposers))
    raise UsageError(f"no model {name!r} in this swarm; there are {names}")
