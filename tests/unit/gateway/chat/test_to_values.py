"""What a client sends becomes what the swarm is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waggle.core.chat_values import Role, Tool, ToolCall, Turn
from waggle.core.engine_values import GenerateRequest
from waggle.core.ids import NodeId
from waggle.gateway.chat.shapes import ChatRequest, CompletionRequest
from waggle.gateway.chat.to_values import chat_jobs, completion_jobs
from waggle.gateway.errors import ApiError
from waggle.gateway.jobs.choosing import most_capable
from waggle.gateway.jobs.values import ForModel, ForSwarm, Setting, Task, ToolsFirst, request_of, seed_of
from waggle.gateway.options import GatewayOptions
from waggle.gateway.shapes import WaggleOptions
from waggle.node.services.service import ServedModel

REQUEST = "0123456789abcdef" * 2
MODELS = (
    ServedModel(name="ant", skills={"": 0.5}, calls_tools=True),
    ServedModel(name="org/bee", skills={"": 0.9}, calls_tools=True),
    ServedModel(name="cat", skills={"sums": 0.7, "words": 0.9}, calls_tools=True),
    ServedModel(name="dog", skills={"": 1.0}, converses=False),
)
SETTING = Setting(models=MODELS, options=GatewayOptions(request_seconds=30.0), request=REQUEST)
USER = {"role": "user", "content": "What is 6 * 7?"}
TOOL = {"type": "function", "function": {"name": "add", "description": "adds", "parameters": {"type": "object"}}}
CALLED = {
    "role": "assistant",
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "1", "content": "42"}


def caller_of(name: str, **facts: object) -> ServedModel:
    return ServedModel(name=name, calls_tools=True, **facts)  # type: ignore[arg-type]


def jobs_of(
    extension: Mapping[str, object] | None = None, models: Sequence[ServedModel] = MODELS, **fields: object
) -> tuple[Task, ...]:
    body = ChatRequest.model_validate({"model": "swarm", "messages": [USER], **fields})
    return chat_jobs(body, WaggleOptions.model_validate(extension or {}), replace(SETTING, models=models))


def for_swarm(extension: Mapping[str, object] | None = None, **fields: object) -> ForSwarm:
    (job,) = jobs_of(extension, MODELS, **fields)
    assert isinstance(job, ForSwarm)
    return job


def for_model(extension: Mapping[str, object] | None = None, **fields: object) -> ForModel:
    (job,) = jobs_of(extension, MODELS, **fields)
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
    assert (options.strategy, options.seed, options.sampling.temperature) == ("auto", 0, 0.0)
    assert (options.budget.seconds, options.max_tokens, options.min_confidence) == (30.0, 256, 0.5)


@pytest.mark.parametrize(
    ("model", "strategy"),
    [("swarm", "auto"), ("swarm/committee", "committee"), ("swarm/vote", "vote"), ("swarm/best", "best")],
)
def test_a_model_s_name_chooses_the_strategy(model: str, strategy: str) -> None:
    assert for_swarm(model=model).options.strategy == strategy


def test_a_solo_model_may_have_a_slash_in_its_name() -> None:
    assert for_model(model="solo/org/bee").model == "org/bee"


@pytest.mark.parametrize(
    "model", ["ant", "solo/", "solo/cow", "swarm/", "swarm/solo:ant", "swarm/nope", "Swarm", "solo/ant "]
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
    assert fault_of(max_tokens=5, max_completion_tokens=6).param == "max_completion_tokens"
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


def test_where_a_tool_may_be_called_a_model_is_asked_first_and_then_the_committee() -> None:
    (task,) = jobs_of({"min_confidence": 0.7, "budget_tokens": 900}, tools=[TOOL], messages=[USER, CALLED, RESULT])
    assert isinstance(task, ToolsFirst)
    assert (task.calling.model, task.calling.asked.tool_choice) == ("org/bee", "auto")
    assert [tool.name for tool in task.calling.asked.tools] == ["add"]
    assert task.calling.asked.turns == task.answering.options.turns
    assert (task.answering.options.min_confidence, task.answering.options.budget.tokens) == (0.7, 900)


def test_a_model_that_alone_would_be_the_committee_is_not_asked_twice() -> None:
    bee = caller_of("bee", nodes=(NodeId("x"),))
    asked: dict[str, object] = {"tools": [TOOL], "messages": [USER, CALLED, RESULT]}
    (job,) = jobs_of({}, (bee, MODELS[3]), **asked)
    assert isinstance(job, ForModel)
    twice = caller_of("bee", nodes=(NodeId("x"), NodeId("y")))
    for models, extension, fields in (
        ((bee, MODELS[3]), {"min_confidence": 0.5}, asked),  # somebody has to say how sure it is
        ((twice, MODELS[3]), {}, asked),
        ((bee, MODELS[0]), {}, asked),  # another one reads conversations too
        ((bee, MODELS[3]), {}, {"tools": [TOOL]}),  # and a lone question everybody
    ):
        (task,) = jobs_of(extension, models, **fields)
        assert isinstance(task, ToolsFirst), (models, extension)


def test_a_tool_s_result_with_no_tool_on_offer_is_a_turn_to_answer() -> None:
    job = for_swarm(messages=[USER, CALLED, RESULT])
    assert job.question == "What is 6 * 7?"
    assert job.options.turns[1:] == (
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
        ((caller_of("b"), caller_of("a")), "a"),
        ((caller_of("a", context_tokens=1), caller_of("b", context_tokens=2)), "b"),
        ((caller_of("a"), caller_of("b", skills={"": 0.1})), "b"),
        ((caller_of("a", skills={"": 0.9}, down={NodeId("x"): "gone"}), caller_of("b")), "b"),
        ((ServedModel(name="a", skills={"": 0.9}, nodes=(NodeId("x"),)), caller_of("b")), "b"),
    ],
)
def test_the_most_capable_model_calls_tools_and_has_the_best_overall_skill(
    models: tuple[ServedModel, ...], best: str
) -> None:
    assert most_capable(models).name == best


def test_tools_are_refused_by_name_where_nobody_who_is_asked_calls_any() -> None:
    for fields in ({"model": "solo/dog"}, {"model": "solo/dog", "tool_choice": "required"}):
        fault = fault_of(tools=[TOOL], **fields)
        assert (fault.status, fault.code, fault.param) == (400, "unsupported_parameter", "tools")
    with pytest.raises(ApiError, match="no model of this swarm calls tools") as caught:
        jobs_of(models=MODELS[3:], tools=[TOOL])
    assert (caught.value.status, caught.value.param) == (400, "tools")
    assert isinstance(jobs_of(models=MODELS[3:], tools=[TOOL], tool_choice="none")[0], ForSwarm)


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
        ({"logprobs": True, "tools": [TOOL]}, "logprobs"),
        ({"logprobs": True, "model": "solo/ant", "response_format": {"type": "json_object"}}, "logprobs"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(fields: dict[str, object], param: str) -> None:
    fault = fault_of(**fields)
    assert (fault.status, fault.param) == (400, param)


ALONE: list[dict[str, object]] = [
    {"model": "solo/ant"},
    {"tools": [TOOL], "tool_choice": "required"},
    {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "add"}}},
]


@pytest.mark.parametrize("fields", ALONE)
@pytest.mark.parametrize(
    "extension", [{"min_confidence": 0.1}, {"proposers": 3}, {"judges": 1}, {"explain": True}], ids=str
)
def test_what_only_a_round_can_honour_is_refused_where_one_model_answers(
    extension: dict[str, object], fields: dict[str, object]
) -> None:
    with pytest.raises(ApiError) as caught:
        jobs_of(extension, **fields)  # type: ignore[arg-type]
    (name,) = extension
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", f"waggle.{name}")


@pytest.mark.parametrize("fields", ALONE)
def test_what_one_model_does_anyway_may_be_asked_for(fields: dict[str, object]) -> None:
    for_model({"min_confidence": 0, "proposers": 1, "judges": 0, "explain": False}, **fields)


@pytest.mark.parametrize(
    ("strategy", "extension"),
    [("vote", {"judges": 5}), ("best", {"judges": 5}), ("best", {"proposers": 5})],
)
def test_a_way_of_asking_refuses_the_options_that_it_has_no_use_for(
    strategy: str, extension: dict[str, object]
) -> None:
    (name,) = extension
    with pytest.raises(ApiError, match=f"waggle.{name} is not supported"):
        jobs_of(extension, model=f"swarm/{strategy}")
    assert for_swarm({"min_confidence": 0.9, "explain": True}, model=f"swarm/{strategy}").reads
    assert for_swarm({"proposers": 2}, model="swarm/vote").options.proposers == 2


def test_what_a_legacy_completion_by_one_model_cannot_honour_is_refused_too() -> None:
    body = CompletionRequest.model_validate({"model": "solo/ant", "prompt": "a"})
    with pytest.raises(ApiError, match=r"waggle\.min_confidence is not supported"):
        completion_jobs(body, WaggleOptions(min_confidence=0.9), SETTING)


SYSTEM = {"role": "system", "content": "Be short."}
SAID = {"role": "assistant", "content": "Hi"}


@pytest.mark.parametrize(
    ("messages", "ignored"),
    [
        ([USER], ()),
        ([SYSTEM, USER], ("system",)),
        ([USER, SAID, USER], ("earlier turns",)),
        ([SYSTEM, USER, SAID, USER], ("system", "earlier turns")),
    ],
)
def test_what_nobody_reads_of_a_conversation_is_told(messages: list[object], ignored: tuple[str, ...]) -> None:
    assert for_model(messages=messages, model="solo/dog").ignored == ignored
    assert for_model(messages=messages, model="solo/ant").ignored == ()
    assert for_swarm(messages=messages).ignored == ()  # somebody reads it
    (alone,) = jobs_of(models=MODELS[3:], messages=messages)
    assert isinstance(alone, ForSwarm)
    assert (alone.ignored, alone.reads) == (ignored, False)


def test_a_tool_s_result_that_nobody_would_read_is_refused() -> None:
    for model in ("solo/dog", "swarm"):
        with pytest.raises(ApiError, match="reads what a tool gave back"):
            jobs_of(models=MODELS[3:], messages=[USER, CALLED, RESULT], model=model)


def test_names_are_kept_where_they_tell_speakers_apart() -> None:
    ann, bob = {**USER, "name": "ann", "content": "6?"}, {**USER, "name": "bob"}
    job = for_swarm(messages=[ann, SAID, bob])
    assert [turn.content for turn in job.options.turns] == ["ann: 6?", "Hi", "bob: What is 6 * 7?"]
    assert job.question == "What is 6 * 7?"
    assert [turn.content for turn in for_swarm(messages=[ann, SAID, ann]).options.turns] == ["6?", "Hi", "6?"]
    assert for_swarm(messages=[ann, SAID, USER]).options.turns[0].content == "ann: 6?"


@pytest.mark.parametrize("lengths", [[70_000], [60_000] * 10])
def test_a_text_that_is_too_long_to_be_sent_is_named(lengths: list[int]) -> None:
    fault = fault_of(messages=[{**USER, "content": "x" * length} for length in lengths])
    assert (fault.status, fault.code, fault.param) == (400, "string_above_max_length", "messages")


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
