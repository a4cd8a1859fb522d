"""Why a round has no answer at all, as the client is told: one message for each cause. Pure.

Where models wrote something of which nothing can be used, nobody failed: that is an abstention, and no error. To ask
again would cost the same and bring the same.
"""

from waggle.core.failures import Cause
from waggle.core.round_values import DeadlinePassed, ProposalReceived, Record, RoundStarted
from waggle.gateway.errors import ApiError, few_tokens, of_waggle, small_budget, too_long, unavailable
from waggle.node.rounds.ending import Ending, ending_of


def is_abstention(record: Record) -> bool:
    """Whether a round without an answer is one all the same: somebody wrote something, and had the room for more."""
    return ending_of(record.outcome, record.events) is Ending.ABSTAINED and not _were_cut_off(record)


def why_nobody(record: Record, max_tokens: int, longest_context: int = 0) -> ApiError:
    """A budget, an answer's length or a context that is too small, no time, or nobody who managed.

    Args:
        max_tokens: the longest answer that was asked for, which a small budget may have shortened.
        longest_context: tokens, of all models; 0 where it is not known.
    """
    error = _cause(record, max_tokens, longest_context)
    prompts, total = record.outcome.spent.prompt_tokens + record.wasted_prompt_tokens, record.used_tokens
    if total:
        error.usage = {"prompt_tokens": prompts, "completion_tokens": total - prompts, "total_tokens": total}
    return error


def _cause(record: Record, max_tokens: int, longest_context: int) -> ApiError:
    last = record.events[-1] if record.events else RoundStarted()
    if isinstance(last, RoundStarted) and record.plan.budget.tokens is not None:
        return small_budget()
    if _were_cut_off(record):
        return small_budget() if record.plan.max_tokens < max_tokens else few_tokens()
    if any(failure.cause is Cause.TOO_LONG for failure in record.outcome.failures.values()):
        return too_long(most=longest_context)
    return of_waggle(TimeoutError()) if isinstance(last, DeadlinePassed) else unavailable()


def _were_cut_off(record: Record) -> bool:
    """Whether everybody who wrote anything wrote as much as was allowed, and came to no answer."""
    made = [event.proposal for event in record.events if isinstance(event, ProposalReceived)]
    return bool(made) and all(each.tokens - each.prompt_tokens >= record.plan.max_tokens for each in made)
