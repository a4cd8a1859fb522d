"""From a question's options, and who could take part, to a plan: the same for every way of answering."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from waggle.core.asking import AskOptions, check_turns, prompt_ceiling
from waggle.core.round_values import ConfidenceModel, Plan, Standing
from waggle.strategies.ways import find_way


def plan_round(
    base: Plan, options: AskOptions, trusted: Sequence[Standing] = (), fits: Mapping[str, ConfidenceModel] | None = None
) -> Plan:
    """Fix everything that decides how a round goes.

    Args:
        base: the question, who may take part (the most wanted first), and what is known of them.
        options: how it is to be answered.
        trusted: the nodes whose answer needs no check, with their standing on the question.
        fits: how sure a winner may be, by the name of the fit.

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
    plan = find_way(options.strategy).shape(base, options, trusted)
    fit = find_way(plan.strategy).confidence
    return _fewer(replace(plan, confidence=(fits or {}).get(fit)), options)


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
