"""What a client sends becomes what the swarm is asked."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle.core.chat_values import Role, Tool, ToolCall, Turn
from waggle.core.engine_values import GenerateRequest
from waggle.gateway.chat_shapes import ChatRequest, CompletionRequest, WaggleOptions
from waggle.gateway.errors import ApiError
from waggle.gateway.options import GatewayOptions
from waggle.gateway.to_values import (
    ForModel,
    ForSwarm,
    Job,
    Setting,
    chat_jobs,
    completion_jobs,
    most_capable,
    request_of,
    seed_of,
)
from waggle.node.service import ServedModel

REQUEST = "0123456789abcdef" * 2
MODELS = (
    ServedModel(name="ant", skills={"": 0.5}),
    ServedModel(name="org/bee", skills={"": 0.9}),
    ServedModel(name="cat", skills={"sums": 0.7, "words": 0.9}),
)
SETTING = Setting(models=MODELS, options=GatewayOptions(request_seconds=30.0), request=REQUEST)
USER = {"role": "user", "content": "What is 6 * 7?"}
TOOL = {"type": "function", "function": {"name": "add", "description": "adds", "parameters": {"type": "object"}}}
CALLED = {
    "role": "assistant",
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "1", "content": "42"}


def jobs_of(extension: Mapping[str, object] | None = None, **fields: object) -> tuple[Job, ...]:
    body = ChatRequest.model_validate({"model": "swarm", "messages": [USER], **fields})
    return chat_jobs(body, WaggleOptions.model_validate(extension or {}), SETTING)


def for_swarm(extension: Mapping[str, object] | None = None, **fields: object) -> ForSwarm:
    (job,) = jobs_of(extension, **fields)
    assert isinstance(job, ForSwarm)
    return job


def for_model(extension: Mapping[str, object] | None = None, **fields: object) -> ForModel:
    (job,) = jobs_of(extension, **fields)
    assert isinstance(job, ForModel)
    return job


def fault_of(**fields: object) -> ApiError:
    with pytest.raises(ApiError) as caught:
        jobs_of(**fields)  # type: ignore[arg-type]  # one of the fields may be the extension
    return caught.value


def test_a_lone_question_has_no_turns_and_the_house_s_defaults() -> None:
    job = for_swarm()
    assert (job.question, job.options.turns, job.stop) == ("What is 6 * 7?", (), ())
    options = job.options
    assert (options.strategy, options.seed, options.sampling.temperature) == ("swarm", 0, 0.0)
    assert (options.budget.seconds, options.max_tokens, options.min_confidence) == (30.0, 256, 0.5)


@pytest.mark.parametrize(("model", "strategy"), [("swarm", "swarm"), ("swarm/vote", "vote"), ("swarm/best", "best")])
def test_a_model_s_name_chooses_the_strategy(model: str, strategy: str) -> None:
    assert for_swarm(model=model).options.strategy == strategy


def test_a_solo_model_may_have_a_slash_in_its_name() -> None:
    assert for_model(model="solo/org/bee").model == "org/bee"


@pytest.mark.parametrize(
    "model", ["ant", "solo/", "solo/dog", "swarm/", "swarm/solo:ant", "swarm/nope", "Swarm", "solo/ant "]
)
def test_an_unknown_model_is_a_404(model: str) -> None:
    fault = fault_of(model=model)
    assert (fault.status, fault.code, fault.param) == (404, "model_not_found", "model")


def test_sampling_is_passed_on() -> None:
    options = for_swarm(temperature=0.7, top_p=0.9, seed=-5, max_tokens=7, stop=["a", "b"]).options
    assert (options.sampling.temperature, options.sampling.top_p) == (0.7, 0.9)
    assert (options.sampling.seed, options.seed, options.max_tokens) == (-5, -5, 7)
    asked = for_model(model="solo/ant", temperature=0.7, top_p=0.9, seed=-5, max_completion_tokens=7, stop="a").asked
    assert (asked.sampling, asked.max_tokens, asked.stop) == (options.sampling, 7, ("a",))


def test_chance_follows_from_the_request_where_no_seed_is_given() -> None:
    drawn = for_swarm(temperature=1).options.sampling.seed
    assert drawn == for_swarm(temperature=1).options.sampling.seed != 0
    assert for_swarm(temperature=0).options.sampling.seed == 0


def test_several_choices_have_seeds_of_their_own_that_follow_from_the_request_s() -> None:
    seeds = [job.options.seed for job in jobs_of(n=4, seed=3) if isinstance(job, ForSwarm)]
    assert seeds[0] == 3
    assert len(set(seeds)) == 4
    assert seeds == [seed_of(3, number) for number in range(4)]


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_choice_s_seed_is_one_that_can_be_sent(seed: int) -> None:
    seeds = [seed_of(seed, number) for number in range(8)]
    assert seeds[0] == seed
    assert len(set(seeds)) == 8
    assert all(-(2**63) <= one < 2**63 for one in seeds)


def test_a_choice_s_request_id_follows_from_the_request_s() -> None:
    ids = [request_of(REQUEST, number) for number in range(3)]
    assert ids[0] == REQUEST
    assert len(set(ids)) == 3
    assert all(len(one) == 32 and int(one, 16) >= 0 for one in ids)


def test_two_lengths_that_differ_are_refused() -> None:
    assert fault_of(max_tokens=5, max_completion_tokens=6).param == "max_tokens"
    assert for_swarm(max_tokens=5, max_completion_tokens=5).options.max_tokens == 5


def test_what_only_a_swarm_understands_is_passed_on() -> None:
    given = {"budget_tokens": 500, "budget_seconds": 2, "min_confidence": 0, "proposers": 3, "judges": 0}
    options = for_swarm(given).options
    assert (options.budget.tokens, options.budget.seconds) == (500, 2.0)
    assert (options.min_confidence, options.proposers, options.judges) == (0.0, 3, 0)


def test_nobody_gets_more_time_than_the_gateway_allows() -> None:
    assert for_swarm({"budget_seconds": 3600}).options.budget.seconds == 30.0
    assert for_model({"budget_seconds": 3600}, model="solo/ant").seconds == 30.0
    assert for_model({"budget_seconds": 1.5}, model="solo/ant").seconds == 1.5


def test_a_model_alone_writes_no_more_than_its_budget_pays_for() -> None:
    assert for_model({"budget_tokens": 100}, model="solo/ant").asked.max_tokens == 100 - 64 - len("What is 6 * 7?")
    with pytest.raises(ApiError, match="budget_tokens"):
        jobs_of({"budget_tokens": 10}, model="solo/ant")


def test_a_conversation_is_kept_and_the_question_is_what_the_user_said_last() -> None:
    messages = [
        {"role": "system", "content": "Be short."},
        {"role": "developer", "content": [{"type": "text", "text": "Be"}, {"type": "text", "text": "kind."}]},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        USER,
    ]
    job = for_swarm(messages=messages)
    assert job.question == "What is 6 * 7?"
    assert job.options.turns == (
        Turn(role=Role.SYSTEM, content="Be short."),
        Turn(role=Role.SYSTEM, content="Be\nkind."),
        Turn(role=Role.USER, content="Hello"),
        Turn(role=Role.ASSISTANT, content="Hi"),
        Turn(role=Role.USER, content="What is 6 * 7?"),
    )


def test_tools_go_to_the_most_capable_model() -> None:
    job = for_model(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "add"}})
    assert job.model == "org/bee"
    assert job.asked.tools == (Tool(name="add", description="adds", parameters='{"type":"object"}'),)
    assert job.asked.tool_choice == "add"
    assert for_model(tools=[TOOL], model="solo/ant").model == "ant"


def test_a_conversation_that_ends_with_a_tool_s_result_goes_to_one_model() -> None:
    job = for_model(messages=[USER, CALLED, RESULT])
    assert job.model == "org/bee"
    assert job.asked.question == "What is 6 * 7?"
    assert job.asked.turns[1:] == (
        Turn(role=Role.ASSISTANT, content="", tool_calls=(ToolCall(id="1", name="add", arguments="{}"),)),
        Turn(role=Role.TOOL, content="42", tool_call_id="1"),
    )


def test_the_committee_answers_where_no_tool_may_be_called_now() -> None:
    assert for_swarm(tools=[TOOL], tool_choice="none").question
    assert len(for_swarm(messages=[USER, CALLED, RESULT, USER]).options.turns) == 4


@pytest.mark.parametrize(
    ("models", "best"),
    [
        (MODELS, "org/bee"),
        (MODELS[::2], "cat"),
        ((ServedModel(name="b"), ServedModel(name="a")), "a"),
        ((ServedModel(name="a", context_tokens=1), ServedModel(name="b", context_tokens=2)), "b"),
        ((ServedModel(name="a"), ServedModel(name="b", skills={"": 0.1})), "b"),
    ],
)
def test_the_most_capable_model_has_the_best_overall_skill(models: tuple[ServedModel, ...], best: str) -> None:
    assert most_capable(models) == best


def test_without_models_nobody_is_capable() -> None:
    with pytest.raises(ApiError) as caught:
        most_capable(())
    assert caught.value.status == 503


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([{"role": "system", "content": "Be short."}], "messages"),
        ([{"role": "user", "content": "  \n"}], "messages"),
        ([USER, {"role": "assistant", "content": "42"}], "messages[1].role"),
        ([USER, RESULT], "messages[1].tool_call_id"),
        ([USER, CALLED, RESULT | {"tool_call_id": "2"}], "messages[2].tool_call_id"),
        ([RESULT, USER, CALLED], "messages[0].tool_call_id"),
    ],
)
def test_a_conversation_that_cannot_be_answered_is_refused(messages: object, param: str) -> None:
    fault = fault_of(messages=messages)
    assert (fault.status, fault.param) == (400, param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [TOOL, TOOL]}, "tools[1].function.name"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}}]},
            "tools[0].function.parameters",
        ),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "sub"}}}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "add"}}}, "tool_choice"),
        ({"logprobs": True}, "logprobs"),
        ({"logprobs": True, "model": "solo/ant", "response_format": {"type": "json_object"}}, "logprobs"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(fields: dict[str, object], param: str) -> None:
    fault = fault_of(**fields)
    assert (fault.status, fault.param) == (400, param)


def test_logprobs_are_had_from_a_model_alone() -> None:
    assert for_model(model="solo/ant", logprobs=True, top_logprobs=0).logprobs
    assert not for_model(model="solo/ant").logprobs


def test_a_legacy_completion_has_a_job_for_each_prompt_and_choice() -> None:
    body = CompletionRequest.model_validate(
        {"model": "solo/ant", "prompt": ["one", "two"], "n": 2, "seed": 1, "logprobs": 0}
    )
    jobs = [job for job in completion_jobs(body, WaggleOptions(), SETTING) if isinstance(job, ForModel)]
    assert [job.asked.question for job in jobs] == ["one", "one", "two", "two"]
    assert len({job.asked.sampling.seed for job in jobs}) == 4
    assert all(job.logprobs for job in jobs)
    assert jobs[0].asked == GenerateRequest(question="one", sampling=jobs[0].asked.sampling)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ["a"] * 5, "n": 2}, "n"),
        ({"prompt": ["a", " "]}, "prompt"),
        ({"prompt": "a", "logprobs": 0}, "logprobs"),
    ],
)
def test_a_legacy_completion_that_cannot_be_done_is_refused(fields: dict[str, object], param: str) -> None:
    body = CompletionRequest.model_validate({"model": "swarm", **fields})
    with pytest.raises(ApiError) as caught:
        completion_jobs(body, WaggleOptions(), SETTING)
    assert (caught.value.status, caught.value.param) == (400, param)
