"""What the log says of a round as a whole: numbers, no words of questions or answers."""

import logging
from collections.abc import Sequence

from waggle.core.round_values import Event, Outcome, Plan
from waggle.node.observing.ending import Ending, ending_of
from waggle.node.observing.logs import facts, question_fact

log = logging.getLogger(__name__)


def log_plan(plan: Plan) -> None:
    """A round begins."""
    log.info(
        "round planned",
        extra=facts(
            round=plan.round_id,
            strategy=plan.strategy,
            proposers=len(plan.proposers),
            standby=len(plan.standby),
            judges=len(plan.judges),
            budget_tokens=plan.budget.tokens,
            budget_seconds=plan.budget.seconds,
            question=question_fact(plan.question),
        ),
    )


def log_outcome(plan: Plan, outcome: Outcome, events: Sequence[Event]) -> None:
    """A round is over. One that failed is not said to be unsure: nobody was heard who could have been."""
    ending = ending_of(outcome, events)
    log.info(
        "round ended",
        extra=facts(
            round=plan.round_id,
            ended=ending.value,
            abstained=ending is Ending.ABSTAINED,
            confidence=None if ending is Ending.FAILED else outcome.confidence,
            candidates=len(outcome.candidates),
            failures=len(outcome.failures),
            ballots=outcome.ballots.cast,
            tokens=outcome.spent.proposing_tokens + outcome.spent.judging_tokens,
            seconds=outcome.spent.seconds,
        ),
    )
