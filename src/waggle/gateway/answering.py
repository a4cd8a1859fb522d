"""Has a job done by the swarm or by one model, and gives back the finished choice.

Every wait has a bound: a round ends by its own budget, and what does not is cut off a little later. Failures come out
as `ApiError`; nothing that went wrong is ever an answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from waggle.core.engine_values import Generation
from waggle.core.errors import WaggleError
from waggle.core.round_values import DeadlinePassed, Event, ProposalReceived, Record, RoundStarted, Spent
from waggle.gateway.chat_shapes import MAX_CHOICES
from waggle.gateway.errors import ApiError, few_tokens, of_waggle, small_budget, unavailable, unsupported
from waggle.gateway.json_answers import JsonFormat
from waggle.gateway.json_jobs import answer_job_in_json
from waggle.gateway.progress import Seen
from waggle.gateway.strict_tools import Schemas, check_calls
from waggle.gateway.to_openai import Answer, Written, answer_of_generation, answer_of_record
from waggle.gateway.to_values import ForModel, ForSwarm, Job, request_of
from waggle.node.service import Service

GRACE_SECONDS = 5.0  # for a round to stop its work after its budget has run out
Do = Callable[[Job, str], Awaitable[Answer]]
See = Callable[[Seen, Event], None]
Heard = Callable[[str, float | None], Awaitable[None]]


def drop(what: object) -> None:
    """Neither keep it nor charge for it."""


@dataclass(frozen=True)
class Answerer:
    """Who does the jobs of one request.

    `keep` is given the record of each round, `charge` the tokens of each job; `explain` asks for the reasons.
    """

    service: Service
    keep: Callable[[Record], None] = drop
    charge: Callable[[int], None] = drop
    explain: bool = False

    async def answer(self, job: Job, request: str, watch: See | None = None, heard: Heard | None = None) -> Answer:
        """Do a job.

        Args:
            request: 32 hexadecimal digits that name it everywhere.
            watch: sees a round while it runs.
            heard: is given each piece of text of a model alone, with its log-probability, before the next is made.

        Raises:
            ApiError: it could not be done.
        """
        try:
            match job:
                case ForSwarm():
                    return await self._ask(job, request, watch)
                case ForModel():
                    return await self._generate(job, request, heard)
        except (WaggleError, TimeoutError) as error:
            raise of_waggle(error) from error

    async def _ask(self, job: ForSwarm, request: str, watch: See | None) -> Answer:
        spent = Spent()

        def seen(state: Seen, event: Event) -> None:
            nonlocal spent
            spent = state.spent
            if watch is not None:
                watch(state, event)

        try:
            async with asyncio.timeout(job.options.budget.seconds + GRACE_SECONDS):
                record = await self.service.ask(job.question, job.options, seen, request)
            spent = record.outcome.spent
        finally:
            self.charge(spent.proposing_tokens + spent.judging_tokens)  # also where the client has gone
        self.keep(record)
        if record.outcome.answer is None:
            raise _nobody(record)
        return answer_of_record(record, job.stop, explain=self.explain)

    async def _generate(self, job: ForModel, request: str, heard: Heard | None) -> Answer:
        written: list[Written] = []
        spent = 0
        try:
            async with (
                asyncio.timeout(job.seconds),
                aclosing(self.service.generate(job.model, job.asked, job.seconds + GRACE_SECONDS, request)) as tokens,
            ):
                async for token in tokens:
                    spent += bool(token.text)
                    if job.logprobs and token.logprob is not None:
                        written.append(Written(token.text, token.logprob))
                    if heard is not None and token.text:
                        await heard(token.text, token.logprob)
                    if (made := token.generation) is not None:
                        spent = made.prompt_tokens + made.completion_tokens
                        return _whole(job, made, request, written)
        finally:
            self.charge(spent)
        raise unavailable()


def _whole(job: ForModel, made: Generation, request: str, written: Sequence[Written]) -> Answer:
    if job.logprobs and made.completion_tokens and not written:
        raise unsupported("logprobs", "this model does not give them")
    return answer_of_generation(job.model, made, request, written if job.logprobs else None)


@dataclass(frozen=True)
class Wanted:
    """What form the answers of a request have to have, None = any, and the tokens that all tries may take.

    `strict` are the schemas that calls of tools have to fit.
    """

    form: JsonFormat | None = None
    budget_tokens: int | None = None
    strict: Schemas = field(default_factory=dict)

    async def of(self, job: Job, request: str, number: int, do: Do) -> Answer:
        """Have choice `number` of a request done by `do`, again where the form is missed. Raises ApiError."""

        async def tried(job: Job, time: int) -> Answer:
            return await do(job, request_of(request, number + time * MAX_CHOICES))

        if self.form is None:
            answer = await tried(job, 0)
        else:
            answer = await answer_job_in_json(self.form, job, tried, budget_tokens=self.budget_tokens)
        await check_calls(answer.tool_calls, self.strict)
        return answer


def _nobody(record: Record) -> ApiError:
    """Why a round has no answer at all: a budget or a length that is too small, no time, or nobody who managed."""
    last = record.events[-1] if record.events else RoundStarted()
    if isinstance(last, RoundStarted) and record.plan.budget.tokens is not None:
        return small_budget()
    if _were_cut_off(record):
        return few_tokens()
    return of_waggle(TimeoutError()) if isinstance(last, DeadlinePassed) else unavailable()


def _were_cut_off(record: Record) -> bool:
    """Whether everybody who wrote anything wrote as much as was allowed, and came to no answer."""
    made = [event.proposal for event in record.events if isinstance(event, ProposalReceived)]
    return bool(made) and all(each.tokens - each.prompt_tokens >= record.plan.max_tokens for each in made)
