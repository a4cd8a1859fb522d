"""The tries of one job that has to answer in JSON: each differs, all share one budget, all are counted."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from msgspec.structs import replace as with_fields

from waggle.core.asking import AskOptions
from waggle.core.chat_values import Role, ToolCall, Turn
from waggle.core.engine_values import GenerateRequest, Sampling
from waggle.core.round_values import Budget
from waggle.gateway.errors import ApiError
from waggle.gateway.jobs.values import Answer, ForModel, ForSwarm, Job
from waggle.gateway.jobs.wanted import answer_job_in_json, turns_of_job
from waggle.gateway.structured.answers import JsonFormat

OBJECT = JsonFormat()
SPENT = {"proposing_tokens": 8, "judging_tokens": 2, "prompt_tokens": 4, "seconds": 0.5}
SWARM = ForSwarm("How old?", AskOptions(budget=Budget(tokens=4_000, seconds=30.0), seed=5, sampling=Sampling(seed=5)))
MODEL = ForModel("m", GenerateRequest(question="How old?", sampling=Sampling(seed=5), max_tokens=50), seconds=30.0)


class Doing:
    """Does jobs by giving these texts, one after the other; keeps the jobs."""

    def __init__(self, *texts: str, **changes: object) -> None:
        self.jobs: list[Job] = []
        self.numbers: list[int] = []
        self._texts = texts
        self._changes = changes

    async def __call__(self, job: Job, number: int) -> Answer:
        self.jobs.append(job)
        self.numbers.append(number)
        fields: dict[str, object] = {"prompt_tokens": 4, "completion_tokens": 6, "waggle": {"spent": SPENT}}
        return Answer(text=self._texts[number], **(fields | self._changes))  # type: ignore[arg-type]


def seed_of_job(job: Job) -> tuple[int, ...]:
    if isinstance(job, ForSwarm):
        return (job.options.sampling.seed, job.options.seed)
    return (job.asked.sampling.seed,)


@pytest.mark.parametrize("job", [SWARM, MODEL])
async def test_every_try_has_its_own_seed_and_all_are_counted(job: Job) -> None:
    doing = Doing("no", "[]", '{"age": 3}')
    made = await answer_job_in_json(OBJECT, job, doing)
    assert made.text == '{"age": 3}'
    assert (made.prompt_tokens, made.completion_tokens) == (12, 18)
    assert made.waggle == {
        "spent": {"proposing_tokens": 24, "judging_tokens": 6, "prompt_tokens": 12, "seconds": 1.5},
        "tries": 3,
    }
    assert doing.numbers == [0, 1, 2]
    assert seed_of_job(doing.jobs[0]) == seed_of_job(job)
    assert len({seed_of_job(tried) for tried in doing.jobs}) == 3


@pytest.mark.parametrize("job", [SWARM, MODEL])
async def test_the_question_stays_and_the_schema_comes_before_it(job: Job) -> None:
    doing = Doing('{"age": 3}')
    await answer_job_in_json(OBJECT, job, doing)
    (tried,) = doing.jobs
    assert [turn.role for turn in turns_of_job(tried)] == [Role.SYSTEM, Role.USER]
    assert turns_of_job(tried)[1] == Turn(role=Role.USER, content="How old?")


async def test_the_budget_of_tokens_is_that_of_all_tries() -> None:
    doing = Doing("no", "no", "no")
    with pytest.raises(ApiError, match="in 3 tries"):
        await answer_job_in_json(OBJECT, SWARM, doing, budget_tokens=1_000)
    left = [job.options.budget.tokens for job in doing.jobs if isinstance(job, ForSwarm)]
    assert left == [1_000, 990, 980]


@pytest.mark.parametrize("job", [SWARM, MODEL])
async def test_nothing_is_asked_where_no_token_is_left(job: Job) -> None:
    doing = Doing("no", "no", "no", completion_tokens=996)
    with pytest.raises(ApiError, match="in 1 try:"):
        await answer_job_in_json(OBJECT, job, doing, budget_tokens=1_000)


async def test_a_model_alone_may_write_no_more_than_is_left_to_pay_for() -> None:
    doing = Doing("no", '{"age": 3}', completion_tokens=300)
    await answer_job_in_json(OBJECT, MODEL, doing, budget_tokens=1_000)
    longest = [job.asked.max_tokens for job in doing.jobs if isinstance(job, ForModel)]
    assert longest[0] == 50
    assert 1 <= longest[1] <= 50


@pytest.mark.parametrize(
    ("job", "seconds_of"),
    [
        (SWARM, lambda job: job.options.budget.seconds),
        (MODEL, lambda job: job.seconds),
    ],
)
async def test_the_time_is_that_of_all_tries(job: Job, seconds_of: Callable[[Job], float]) -> None:
    doing = Doing("no", '{"age": 3}')
    began = time.monotonic()
    await answer_job_in_json(OBJECT, job, doing)
    took = time.monotonic() - began
    first, second = (seconds_of(tried) for tried in doing.jobs)
    assert first == 30.0
    assert 30.0 - took <= second < 30.0


async def test_an_abstention_ends_it_at_once() -> None:
    doing = Doing("The swarm abstained.", waggle={"abstained": True, "round_id": "ab", "best_guess": "{}"})
    with pytest.raises(ApiError, match="abstained") as failed:
        await answer_job_in_json(OBJECT, SWARM, doing)
    assert (failed.value.status, failed.value.code) == (422, "abstained")
    assert failed.value.waggle == {"abstained": True, "round_id": "ab", "best_guess": "{}"}
    assert doing.numbers == [0]


@pytest.mark.parametrize(("temperature", "tries"), [(0.0, 1), (1.0, 3)])
async def test_who_reads_neither_schema_nor_fault_is_asked_again_only_where_chance_may_help(
    temperature: float, tries: int
) -> None:
    asked = with_fields(MODEL.asked, sampling=Sampling(temperature=temperature))
    doing = Doing("no", "no", "no")
    with pytest.raises(ApiError, match=f"in {tries} tr(y|ies):"):
        await answer_job_in_json(OBJECT, replace(MODEL, asked=asked, reads=False), doing)
    assert len(doing.numbers) == tries


async def test_a_call_of_a_tool_has_no_form_to_fit() -> None:
    call = ToolCall(id="c", name="f", arguments="{}")
    made = await answer_job_in_json(OBJECT, MODEL, Doing("", tool_calls=(call,)))
    assert made.tool_calls == (call,)
    assert made.waggle["tries"] == 1
