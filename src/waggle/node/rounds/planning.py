"""From a question, options and standings to a plan.

Every way of answering is a plan for the same round: the vote is a round without judges, the best node or a solo one a
round with one proposer. So they share deadlines, budgets, records and confidence.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replace_options

from msgspec.structs import replace

from waggle.core.chat_values import Turn
from waggle.core.engine_values import JudgeMethod, Sampling
from waggle.core.errors import UsageError
from waggle.core.round_values import Budget, ConfidenceModel, Plan, Standing
from waggle.node.calibrating.calibration import Calibration
from waggle.routing.gate import one_is_enough
from waggle.swarm.state import prompt_ceiling

MAX_QUESTION_BYTES = 64 * 1024
MAX_CONVERSATION_BYTES = 512 * 1024
MAX_TURNS = 512
SOLO = "solo:"
AUTO = "auto"
"""The strategy that leaves it to the gate: `settle` puts another in its place."""


@dataclass(frozen=True)
class AskOptions:
    """How a question is to be answered.

    `turns` is the conversation that ends with the question, where there is one; `proposers` and `judges` are how many
    of the committee are asked at most. The last six exist for ablations and default to the full method.
    """

    strategy: str = "swarm"
    budget: Budget = field(default_factory=Budget)
    min_confidence: float = 0.5
    max_tokens: int = 256
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0
    turns: tuple[Turn, ...] = ()
    proposers: int | None = None
    judges: int | None = None
    judge_method: JudgeMethod = JudgeMethod.AUTO
    both_orders: bool = True
    pairs_per_judge: int | None = None
    use_weights: bool = True
    use_support: bool = True
    use_judges: bool = True


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


def check_turns(turns: Sequence[Turn]) -> None:
    """Raise UsageError unless this is a conversation of a size that can be sent."""
    if len(turns) > MAX_TURNS:
        raise UsageError(f"the conversation has more than {MAX_TURNS} turns")
    texts = [text for turn in turns for text in (turn.content, *(call.arguments for call in turn.tool_calls))]
    try:
        size = sum(len(text.encode()) for text in texts)
    except UnicodeEncodeError:
        raise UsageError("the conversation is not valid Unicode text: remove the lone surrogates") from None
    if size > MAX_CONVERSATION_BYTES:
        raise UsageError(f"the conversation is longer than {MAX_CONVERSATION_BYTES // 1024} KiB")


def settle(options: AskOptions, trusted: Sequence[Standing]) -> tuple[AskOptions, Standing | None]:
    """The options with the gate's choice in place of "auto", and the node that answers alone, if one does.

    `trusted` are the nodes whose answer needs no check, with their standing on the question. Who asks for a certain
    number of proposers or judges asks for the committee.
    """
    if options.strategy != AUTO:
        return options, None
    free = options.proposers is None and options.judges is None
    alone = one_is_enough(trusted) if free else None
    return replace_options(options, strategy="swarm" if alone is None else "best"), alone


def is_settled(strategy: str, asked: str) -> bool:
    """Whether a plan of this strategy is one for what was asked."""
    return strategy in ("swarm", "best") if asked == AUTO else strategy == asked


def confidence_model(calibration: Calibration | None, strategy: str) -> ConfidenceModel | None:
    """How sure a winner of this strategy may be; solo rounds share one model, whoever answers."""
    if calibration is None:
        return None
    return calibration.confidence.get("solo" if strategy == "best" or strategy.startswith(SOLO) else strategy)


def plan_round(base: Plan, options: AskOptions) -> Plan:
    """The plan of the options' strategy; `base` has the question, who may take part, and what is known of them.

    Raises:
        UsageError: an unknown strategy or model, or a conversation that is too long.
    """
    check_turns(options.turns)
    base = replace(
        base,
        budget=options.budget,
        max_tokens=_longest(base.question, options),
        sampling=options.sampling,
        min_confidence=options.min_confidence,
        seed=options.seed,
        strategy=options.strategy,
        turns=options.turns,
    )
    return _fewer(_shaped(base, options), options)


def _fewer(plan: Plan, options: AskOptions) -> Plan:
    """At most as many proposers and judges as asked for, the first of each; the other proposers may step in."""
    asked = max(1, options.proposers) if options.proposers is not None else len(plan.proposers)
    judges = plan.judges if options.judges is None else plan.judges[: max(0, options.judges)]
    standby = plan.proposers[asked:] + plan.standby
    return replace(plan, proposers=plan.proposers[:asked], standby=standby, judges=judges)


def _longest(question: str, options: AskOptions) -> int:
    """The longest answer asked for: no longer than a small budget pays for, so that at least one node is asked."""
    if options.budget.tokens is None:
        return options.max_tokens
    room = options.budget.tokens - prompt_ceiling(question, options.turns)
    return min(options.max_tokens, room) if room >= 1 else options.max_tokens


def _shaped(plan: Plan, options: AskOptions) -> Plan:
    match options.strategy:
        case "swarm":
            return _swarm(plan, options)
        case "vote":
            equal = _equal(plan.proposers)
            return replace(plan, proposers=equal, standby=_equal(plan.standby), judges=(), count_self_confidence=False)
        case "best":
            return replace(plan, proposers=plan.proposers[:1], standby=plan.proposers[1:] + plan.standby, judges=())
        case strategy if strategy.startswith(SOLO):
            chosen = _named(plan, strategy.removeprefix(SOLO))
            return replace(plan, proposers=chosen[:1], standby=chosen[1:], judges=())
        case strategy:
            raise UsageError(f"unknown strategy {strategy!r}; there are auto, swarm, vote, best and solo:MODEL")


def _swarm(plan: Plan, options: AskOptions) -> Plan:
    if not options.use_weights:
        equal = _equal(plan.proposers)
        plan = replace(plan, proposers=equal, standby=_equal(plan.standby), judges=_equal(plan.judges))
    return replace(
        plan,
        judges=plan.judges if options.use_judges else (),
        judge_method=options.judge_method,
        both_orders=options.both_orders,
        pairs_per_judge=options.pairs_per_judge,
        use_support=options.use_support,
    )


def _equal(standings: tuple[Standing, ...]) -> tuple[Standing, ...]:
    return tuple(
        Standing(node=s.node, skill=s.skill, model=s.model, expected_seconds=s.expected_seconds) for s in standings
    )


def _named(plan: Plan, name: str) -> tuple[Standing, ...]:
    """Those that go by this name, or answer with a model of this name."""
    everyone = plan.proposers + plan.standby
    chosen = tuple(standing for standing in everyone if name in (standing.node, standing.model))
    if name and chosen:
        return chosen
    names = ", ".join(sorted({standing.model or standing.node for standing in everyone}))
    raise UsageError(f"no model {name!r} in this swarm; there are {names}")
