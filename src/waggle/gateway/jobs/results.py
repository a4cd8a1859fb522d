"""What came of a job: the finished answer with what it cost, or why there is none. Pure.

The object `waggle` of an answer says what OpenAI has no field for: how sure the swarm is, who stands behind it and what
it cost. Where models wrote something of which nothing can be used, nobody failed: that is an abstention, and no error.
To ask again would cost the same and bring the same.
"""

from collections.abc import Sequence

from msgspec.structs import asdict, replace

from waggle.core.engine_values import Finish, Generation
from waggle.core.failures import Cause
from waggle.core.round_values import DeadlinePassed, Outcome, ProposalReceived, Record, RoundStarted
from waggle.gateway.errors import ApiError, few_tokens, of_waggle, small_budget, too_long, unavailable
from waggle.gateway.jobs.values import Answer, JsonObject, Written
from waggle.node.observing.ending import Ending, ending_of
from waggle.strategies.ways import SOLO

ABSTAINED = "The swarm abstained: it is not sure enough of any answer."
NOTHING_USABLE = "The swarm abstained: no model wrote anything that can be used as an answer."


def answer_of_record(record: Record, stop: Sequence[str], *, explain: bool) -> Answer:
    """The committee's answer, or the sentence that stands for an abstention."""
    outcome, spent = record.outcome, record.outcome.spent
    best = before_stop(outcome.answer or "", stop)
    runner_up = None if outcome.runner_up is None else before_stop(outcome.runner_up, stop)
    answer = Answer(
        text=best if not outcome.abstained else NOTHING_USABLE if outcome.answer is None else ABSTAINED,
        prompt_tokens=spent.prompt_tokens,
        completion_tokens=spent.proposing_tokens + spent.judging_tokens - spent.prompt_tokens,
        waggle=_told(record, best, runner_up) | (_explained(outcome) if explain else {}),
    )
    return with_wasted(answer, record.wasted_tokens, record.wasted_prompt_tokens)


def with_wasted(answer: Answer, tokens: int, prompt_tokens: int) -> Answer:
    """The answer that cost so many tokens more, in calls that came to nothing."""
    spent = answer.waggle["spent"]
    assert isinstance(spent, dict)
    wasted = {"wasted_tokens": tokens, "prompt_tokens": spent["prompt_tokens"] + prompt_tokens}
    return replace(
        answer,
        prompt_tokens=answer.prompt_tokens + prompt_tokens,
        completion_tokens=answer.completion_tokens + tokens - prompt_tokens,
        waggle=answer.waggle | {"spent": spent | wasted},
    )


def answer_of_generation(
    model: str, made: Generation, request: str, written: Sequence[Written] | None = None
) -> Answer:
    """What one model wrote, all of it."""
    spent: JsonObject = {
        "proposing_tokens": made.prompt_tokens + made.completion_tokens,
        "judging_tokens": 0,
        "prompt_tokens": made.prompt_tokens,
        "seconds": made.seconds,
    }
    told: JsonObject = {
        "round_id": request,
        "strategy": SOLO,
        "model": model,
        "confidence": None,  # a model's own is not calibrated
        "self_confidence": made.self_confidence,
        "abstained": False,
        "spent": spent,
    }
    return Answer(
        text=made.text,
        finish=Finish.TOOL_CALLS if made.tool_calls else made.finish,
        tool_calls=made.tool_calls,
        logprobs=None if written is None else tuple(written),
        prompt_tokens=made.prompt_tokens,
        completion_tokens=made.completion_tokens,
        waggle=told,
    )


def before_stop(text: str, stop: Sequence[str]) -> str:
    """The text before the stop string that comes first: "a END b" with ("END",) is "a "."""
    places = [place for word in stop if (place := text.find(word)) >= 0]
    return text[: min(places)] if places else text


def together(answer: Answer, made: Sequence[Answer], more: JsonObject) -> Answer:
    """An answer that cost what all of `made` cost; `more` is told with it."""
    spent: JsonObject = {}
    for one in made:
        parts = one.waggle.get("spent")
        for name, value in parts.items() if isinstance(parts, dict) else ():
            spent[name] = _sum(spent.get(name, 0), value)
    return replace(
        answer,
        prompt_tokens=sum(one.prompt_tokens for one in made),
        completion_tokens=sum(one.completion_tokens for one in made),
        waggle=answer.waggle | {"spent": spent} | more,
    )


def _sum(first: object, second: object) -> object:
    return first + second if isinstance(first, int | float) and isinstance(second, int | float) else second


def usage_of(answers: Sequence[Answer]) -> dict[str, int]:
    """Tokens of all calls of all choices."""
    prompts = sum(answer.prompt_tokens for answer in answers)
    completions = sum(answer.completion_tokens for answer in answers)
    return {"prompt_tokens": prompts, "completion_tokens": completions, "total_tokens": prompts + completions}


def _told(record: Record, best: str, runner_up: str | None) -> JsonObject:
    outcome = record.outcome
    return {
        "round_id": record.plan.round_id,
        "strategy": record.plan.strategy,
        "confidence": outcome.confidence,
        "abstained": outcome.abstained,
        "best_guess": best if outcome.abstained and outcome.answer is not None else None,
        "supporters": outcome.candidates[0].supporters if outcome.candidates else (),
        "runner_up": runner_up,
        "spent": asdict(outcome.spent),
    }


def _explained(outcome: Outcome) -> JsonObject:
    """Who stood where and why it ended. What failing nodes said stays inside: it may name addresses and paths."""
    candidates = [
        {"answer": c.answer, "supporters": c.supporters, "strength": c.strength, "support": c.support}
        for c in outcome.candidates
    ]
    return {
        "candidates": candidates,
        "ballots": asdict(outcome.ballots),
        "failed": sorted(outcome.failures),
        "confusion_p": outcome.confusion_p,
        "reason": outcome.reason,
    }


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
