"""What a request wants of its answers, and the steps that lead to one: a call of a tool or an answer, tries, checks.

Where an answer has to be JSON, each try has its own seed, and all are within the job's one budget. Whatever an answer
took is counted with it, and told with the error where there is none.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from msgspec.structs import replace as with_fields

from waggle.core.chat_values import Role, Turn
from waggle.core.engine_values import GenerateRequest
from waggle.core.round_values import Budget
from waggle.gateway.errors import REPLY, ApiError, of_waggle, small_budget
from waggle.gateway.jobs.choosing import paid_for
from waggle.gateway.jobs.results import together, usage_of
from waggle.gateway.jobs.values import Answer, ForModel, ForSwarm, Job, Task, ToolsFirst, request_of, seed_of
from waggle.gateway.shapes import MAX_CHOICES
from waggle.gateway.structured.answers import TRIES, JsonFormat, Schemas, answer_in_json, check_calls

LEAST_SECONDS = 0.1
Do = Callable[[Job, str], Awaitable[Answer]]
Try = Callable[[Job, int], Awaitable[Answer]]


@dataclass(frozen=True)
class Wanted:
    """What form the answers of a request have to have, None = any, and the tokens that all tries may take.

    `strict` are the schemas that calls of tools have to fit; with `one_call` only the first call counts.
    """

    form: JsonFormat | None = None
    budget_tokens: int | None = None
    strict: Schemas = field(default_factory=dict)
    one_call: bool = False

    async def of(self, task: Task, request: str, number: int, do: Do) -> Answer:
        """Have choice `number` of a request done by `do`, again where the form is missed. Raises ApiError."""
        made: list[Answer] = []

        async def tried(job: Job, time: int) -> Answer:
            answer = await do(job, request_of(request, number + time * MAX_CHOICES))
            made.append(answer)
            return answer

        try:
            answer = await (
                self._call_or_answer(task, tried) if isinstance(task, ToolsFirst) else self._do(task, tried)
            )
            if self.one_call:
                answer = with_fields(answer, tool_calls=answer.tool_calls[:1])
            await check_calls(answer.tool_calls, self.strict)
        except ApiError as error:
            raise _with_usage(error, made) from error
        return answer

    async def _do(self, job: Job, tried: Try) -> Answer:
        if self.form is None:
            return await tried(job, 0)
        if not job.reads:
            job = replace(job, ignored=(*job.ignored, "response_format"))
        return await answer_job_in_json(self.form, job, tried, budget_tokens=self.budget_tokens)

    async def _call_or_answer(self, task: ToolsFirst, tried: Try) -> Answer:
        """A model's calls of tools; where it makes none, the committee's answer, within the same budget."""
        began = time.monotonic()
        called = await tried(task.calling, 0)
        if called.tool_calls:
            return called
        left = None if self.budget_tokens is None else self.budget_tokens - called.tokens
        answering = _within(task.answering, left, time.monotonic() - began)
        answer = await replace(self, budget_tokens=left)._do(answering, tried)
        return together(answer, (called, answer), {"asked_for_calls": task.calling.model})


def _within(job: ForSwarm, tokens: int | None, seconds: float) -> ForSwarm:
    """The job with what is left of its budget. Raises ApiError where nothing is."""
    left = job.options.budget.seconds - seconds
    if tokens is not None and tokens < 1:
        raise small_budget()
    if left < LEAST_SECONDS:
        raise of_waggle(TimeoutError())
    return replace(job, options=with_fields(job.options, budget=Budget(tokens=tokens, seconds=left)))


def _with_usage(error: ApiError, made: list[Answer]) -> ApiError:
    """The error with what was used for the answers that came to nothing, and for what failed."""
    used = usage_of(made) if made else {}
    names = {*used, *error.usage}
    return replace(error, usage={name: used.get(name, 0) + error.usage.get(name, 0) for name in sorted(names)})


class _WantsTools(Exception):
    """The answer is a call of tools, which has no form to fit."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


async def answer_job_in_json(
    form: JsonFormat, job: Job, do: Try, *, budget_tokens: int | None = None, tries: int = TRIES
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
        left = None if budget_tokens is None else budget_tokens - sum(one.tokens for one in written)
        tried = _tried(job, turns, len(written), left, seconds)
        if tried is None:
            return None
        answer = await do(tried, len(written))
        if answer.tool_calls:
            raise _WantsTools(together(answer, (*written, answer), {"tries": len(written) + 1}))
        if answer.waggle.get("abstained"):
            known = answer.waggle.get("best_guess") is not None
            why = "it is not sure enough of any answer of the form asked for" if known else "no model wrote an answer"
            message = f"the swarm abstained: {why}"
            raise ApiError(422, message, type=REPLY, code="abstained", waggle=answer.waggle)
        return answer

    try:
        made = await answer_in_json(form, turns_of_job(job), write, tries if _may_differ(job) else 1)
    except _WantsTools as called:
        return called.answer
    return together(with_fields(made.written[-1], text=made.text), made.written, {"tries": len(made.written)})


def turns_of_job(job: Job) -> tuple[Turn, ...]:
    """The conversation of a job, also where it is a question alone."""
    match job:
        case ForSwarm():
            question, turns = job.question, job.options.turns
        case ForModel():
            question, turns = job.asked.question, job.asked.turns
    return turns or (Turn(role=Role.USER, content=question),)


def _may_differ(job: Job) -> bool:
    """Whether another try may give another answer: who reads the question alone sees neither schema nor fault."""
    sampling = job.options.sampling if isinstance(job, ForSwarm) else job.asked.sampling
    return job.reads or sampling.temperature > 0


def _tried(job: Job, turns: tuple[Turn, ...], number: int, tokens: int | None, seconds: float) -> Job | None:
    """The job as its try of this number does it, with what is left of its budget; None where nothing is."""
    match job:
        case ForSwarm(options=options):
            left = options.budget.seconds - seconds
            sampling = with_fields(options.sampling, seed=seed_of(options.sampling.seed, number * MAX_CHOICES))
            budget = Budget(tokens=tokens, seconds=left)
            asked = with_fields(options, turns=turns, budget=budget, sampling=sampling, seed=sampling.seed)
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
