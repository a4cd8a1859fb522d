"""Which plan of a stranger is replayed: one for our question of which every step is little work.

What a plan makes us compute is bounded before any of it is computed. Dealing out pairs looks at every pair of
candidates for every judge, and each ballot at all that are open: with these bounds the longest step takes about 0.3 s,
an ordinary one of seven nodes 3 ms.
"""

from waggle.consensus.schedule import fair_share
from waggle.core.round_values import Plan
from waggle.mesh.messages import PleaseAnswer
from waggle.strategies.ways import is_plan_of

MAX_COMMITTEE = 64
"""Proposers, or judges: as many as a question can ask for."""
MAX_STANDBY = 256
MAX_WAVES = 16
LEAST_WEIGHT, MOST_WEIGHT = 1e-6, 1e6
LEAST_PRIOR, MOST_PRIOR = 0.01, 100.0
MAX_ASKS = 4_096
"""Ballots that are open at a time: what a participant takes, 64 candidates each against each."""


def is_fit(plan: Plan, asked: PleaseAnswer) -> bool:
    """Whether this is a plan for what was asked, and one that can be replayed without much work."""
    ours = (plan.question, plan.turns) == (asked.question, asked.options.turns)
    few = max(len(plan.proposers), len(plan.judges)) <= MAX_COMMITTEE and len(plan.standby) <= MAX_STANDBY
    known = ours and is_plan_of(plan, asked.options.strategy)
    return known and few and plan.waves <= MAX_WAVES and _has_few_asks(plan) and _has_usual_numbers(plan)


def _has_few_asks(plan: Plan) -> bool:
    candidates = min(MAX_COMMITTEE, len(plan.proposers) + len(plan.standby))  # standbys may propose as well
    judges = len(plan.judges)
    pairs = plan.pairs_per_judge
    if pairs is None:
        pairs = fair_share(candidates, judges, is_first=False)
    in_all = candidates * (candidates - 1) // 2
    return pairs >= 0 and judges * min(pairs, in_all) * (1 + plan.both_orders) <= MAX_ASKS


def _has_usual_numbers(plan: Plan) -> bool:
    """Numbers at the ends of what floats hold make a fit slow, or fail where no rule of the round does."""
    everyone = (*plan.proposers, *plan.standby, *plan.judges)
    weights = {weight for each in everyone for weight in (each.support_weight, each.judge_weight)}
    return all(weight == 0 or LEAST_WEIGHT <= weight <= MOST_WEIGHT for weight in weights) and (
        LEAST_PRIOR <= plan.prior_ballots <= MOST_PRIOR
    )
