"""Has a job done by the swarm or by one model, and gives back the finished choice.

Every wait has a bound: a round ends by its own budget, and what does not is cut off a little later. Failures come out
as `ApiError`; nothing that went wrong is ever an answer.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from msgspec.structs import replace

from waggle.core.carried import counting_waste
from waggle.core.engine_values import Generation, StreamedToken
from waggle.core.errors import EngineRefused, TooLong, WaggleError
from waggle.core.round_values import Event, Record, Spent
from waggle.gateway.errors import ApiError, of_waggle, refused, too_long, unavailable, unsupported
from waggle.gateway.jobs.results import answer_of_generation, answer_of_record, is_abstention, why_nobody, with_wasted
from waggle.gateway.jobs.values import Answer, ForModel, ForSwarm, Job, Written
from waggle.node.services.service import Service
from waggle.strategies.machine import Moment, Watch

GRACE_SECONDS = 5.0  # for a round to stop its work after its budget has run out
Heard = Callable[[str, Sequence[Written]], Awaitable[None]]


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

    async def answer(self, job: Job, request: str, watch: Watch | None = None, heard: Heard | None = None) -> Answer:
        """Do a job.

        Args:
            request: 32 hexadecimal digits that name it everywhere.
            watch: sees a round while it runs.
            heard: is given each piece of text of a model alone, with the tokens that it came with where
                log-probabilities are wanted, before the next is made.

        Raises:
            ApiError: it could not be done.
        """
        try:
            match job:
                case ForSwarm():
                    answer = await self._ask(job, request, watch)
                case ForModel():
                    answer = await self._generate(job, request, heard)
        except EngineRefused as error:
            raise self._refusal(job, error) from error
        except (WaggleError, TimeoutError) as error:
            raise of_waggle(error) from error
        return replace(answer, waggle=answer.waggle | {"ignored": job.ignored}) if job.ignored else answer

    async def _ask(self, job: ForSwarm, request: str, watch: Watch | None) -> Answer:
        last: Moment | None = None
        spent: Spent | None = None

        def seen(moment: Moment, event: Event) -> None:
            nonlocal last
            last = moment
            if watch is not None:
                watch(moment, event)

        with counting_waste() as wasted:
            try:
                async with asyncio.timeout(job.options.budget.seconds + GRACE_SECONDS):
                    record = await self.service.ask(job.question, job.options, seen, request)
                spent = record.outcome.spent
            finally:  # also where the client has gone
                spent = spent if spent is not None else Spent() if last is None else last.picture().spent
                self.charge(spent.proposing_tokens + spent.judging_tokens + wasted.tokens)
        self.keep(record)
        if record.outcome.answer is None and not is_abstention(record):
            raise why_nobody(record, job.options.max_tokens, self._longest_context())
        return answer_of_record(record, job.stop, explain=self.explain)

    async def _generate(self, job: ForModel, request: str, heard: Heard | None) -> Answer:
        made: Generation | None = None
        written, heard_of = _Tokens(wanted=job.logprobs), 0
        with counting_waste() as wasted:
            try:
                async with (
                    asyncio.timeout(job.seconds),
                    aclosing(self._stream(job, request)) as tokens,
                ):
                    async for token in tokens:
                        heard_of += bool(token.text)
                        fresh = written.take(token)
                        if heard is not None and token.text:
                            await heard(token.text, fresh)
                        if (made := token.generation) is not None:
                            break
            finally:  # also where the client has gone
                self.charge(max(heard_of, wasted.tokens) if made is None else _tokens(made) + wasted.tokens)
        if made is None:
            raise unavailable()
        answer = answer_of_generation(job.model, made, request, written.all if job.logprobs else None)
        return with_wasted(answer, wasted.tokens, wasted.prompt_tokens)

    def _stream(self, job: ForModel, request: str) -> AsyncGenerator[StreamedToken, None]:
        return self.service.generate(job.model, job.asked, job.seconds + GRACE_SECONDS, request)

    def _refusal(self, job: Job, error: EngineRefused) -> ApiError:
        """What a model that says no is told to have said: no word of its own, which may name addresses."""
        if isinstance(error, TooLong):
            return too_long(most=self._longest_context(job.model if isinstance(job, ForModel) else None))
        if isinstance(job, ForModel) and job.asked.tool_choice not in ("auto", "none"):
            return refused("the model called no tool, though one has to be called", "tool_choice")
        return of_waggle(error)

    def _longest_context(self, model: str | None = None) -> int:
        """Of all models that can be used, or of one; 0 where it is not known."""
        return max((one.context_tokens for one in self.service.models() if model in (None, one.name)), default=0)


def _tokens(made: Generation) -> int:
    return made.prompt_tokens + made.completion_tokens


class _Tokens:
    """The tokens of one text with their log-probabilities, where those are wanted."""

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted
        self._held: list[Written] = []
        self.all: list[Written] = []

    def take(self, token: StreamedToken) -> Sequence[Written]:
        """What is known of the tokens that came with this text: its own, and those before it that showed none.

        Raises:
            ApiError: the text begins without any.
        """
        if not self._wanted:
            return ()
        if token.logprob is not None:
            self._held.append(Written(token.text, token.logprob))
        elif token.text and self._held:  # text that was held back until the end
            self._held[-1] = Written(token.text, self._held[-1].logprob)
        if not token.text:
            return ()
        fresh, self._held = self._held, []
        self.all += fresh
        if not self.all:
            raise unsupported("logprobs", "this model does not give them")
        return fresh
