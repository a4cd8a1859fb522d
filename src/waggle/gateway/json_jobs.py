"""Jobs whose answer has to be JSON: the tries of one job, each with its own seed, within the job's one budget."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from msgspec.structs import replace as with_fields

from waggle.core.chat_values import Role, Turn
from waggle.core.engine_values import GenerateRequest
from waggle.core.round_values import Budget
from waggle.gateway.chat_shapes import MAX_CHOICES
from waggle.gateway.errors import ApiError
from waggle.gateway.json_answers import TRIES, JsonFormat, answer_in_json
from waggle.gateway.to_openai import Answer, JsonObject
from waggle.gateway.to_values import ForModel, ForSwarm, Job, paid_for, seed_of

LEAST_SECONDS = 0.1
Do = Callable[[Job, int], Awaitable[Answer]]


class _WantsTools(Exception):
    """The answer is a call of tools, which has no form to fit."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


async def answer_job_in_json(
    form: JsonFormat, job: Job, do: Do, *, budget_tokens: int | None = None, tries: int = TRIES
) -> Answer:
    """Do a job until its answer has the form asked for; tokens and times are those of all tries.

    Args:
        do: does a job; the number counts the tries from 0, to name each round differently.
        budget_tokens: for all tries together.

    Raises:
        ApiError: 422 where no answer fitted or the swarm abstained; whatever `do` raises.
    """
    began = time.monotonic()

    async def write(turns: tuple[Turn, ...], written: tuple[Answer, ...]) -> Answer | None:
        seconds = time.monotonic() - began if written else 0.0
        left = None if budget_tokens is None else budget_tokens - sum(map(_tokens, written))
        tried = _tried(job, turns, len(written), left, seconds)
        if tried is None:
            return None
        answer = await do(tried, len(written))
        if answer.tool_calls:
            raise _WantsTools(_together(answer, (*written, answer)))
        if answer.waggle.get("abstained"):
            message = "the swarm abstained: it is not sure enough of any answer of the form asked for"
            raise ApiError(422, message, type="invalid_response_error", code="json_invalid")
        return answer

    try:
        made = await answer_in_json(form, turns_of_job(job), write, tries)
    except _WantsTools as called:
        return called.answer
    return _together(with_fields(made.written[-1], text=made.text), made.written)


def turns_of_job(job: Job) -> tuple[Turn, ...]:
    """The conversation of a job, also where it is a question alone."""
    match job:
        case ForSwarm():
            question, turns = job.question, job.options.turns
        case ForModel():
            question, turns = job.asked.question, job.asked.turns
    return turns or (Turn(role=Role.USER, content=question),)


def _tried(job: Job, turns: tuple[Turn, ...], number: int, tokens: int | None, seconds: float) -> Job | None:
    """The job as its try of this number does it, with what is left of its budget; None where nothing is."""
    match job:
        case ForSwarm(options=options):
            left = options.budget.seconds - seconds
            sampling = with_fields(options.sampling, seed=seed_of(options.sampling.seed, number * MAX_CHOICES))
            budget = Budget(tokens=tokens, seconds=left)
            asked = replace(options, turns=turns, budget=budget, sampling=sampling, seed=sampling.seed)
            tried: Job = replace(job, options=asked)
        case ForModel(asked=request):
            left = job.seconds - seconds
            sampling = with_fields(request.sampling, seed=seed_of(request.sampling.seed, number * MAX_CHOICES))
            request = with_fields(request, turns=turns, sampling=sampling)
            longest = _longest(request, tokens, first=number == 0)
            tried = replace(job, seconds=left, asked=with_fields(request, max_tokens=longest))
    enough = (tokens is None or tokens >= 1) and left >= LEAST_SECONDS and _max_tokens(tried) >= 1
    return tried if enough or number == 0 else None


def _longest(asked: GenerateRequest, tokens: int | None, *, first: bool) -> int:
    """How long an answer the budget pays for; 0 for none, which the first try raises as an ApiError."""
    try:
        return paid_for(asked, tokens, asked.max_tokens)
    except ApiError:
        if first:
            raise
        return 0


def _max_tokens(job: Job) -> int:
    return job.options.max_tokens if isinstance(job, ForSwarm) else job.asked.max_tokens


def _together(answer: Answer, written: tuple[Answer, ...]) -> Answer:
    """An answer that cost what all tries cost."""
    spent: JsonObject = {}
    for one in written:
        parts = one.waggle.get("spent")
        for name, value in parts.items() if isinstance(parts, dict) else ():
            spent[name] = _sum(spent.get(name, 0), value)
    return with_fields(
        answer,
        prompt_tokens=sum(one.prompt_tokens for one in written),
        completion_tokens=sum(one.completion_tokens for one in written),
        waggle=answer.waggle | {"spent": spent, "tries": len(written)},
    )


def _sum(first: object, second: object) -> object:
    return first + second if isinstance(first, int | float) and isinstance(second, int | float) else second


def _tokens(answer: Answer) -> int:
    return answer.prompt_tokens + answer.completion_tokens
