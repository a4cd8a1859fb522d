"""What a request wants of its answers, and the steps that lead to one: a call of a tool or an answer, tries, checks.

Whatever an answer took is counted with it, and told with the error where there is none.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from msgspec.structs import replace as with_fields

from waggle.core.round_values import Budget
from waggle.gateway.chat.shapes import MAX_CHOICES
from waggle.gateway.chat.to_openai import Answer, together, usage_of
from waggle.gateway.chat.to_values import ForSwarm, Job, Task, ToolsFirst, request_of
from waggle.gateway.errors import ApiError, of_waggle, small_budget
from waggle.gateway.structured.answers import JsonFormat
from waggle.gateway.structured.jobs import LEAST_SECONDS, answer_job_in_json
from waggle.gateway.structured.strict_tools import Schemas, check_calls

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
