"""Responses: the real client against a real server, whole and streamed."""

import json
from itertools import pairwise

import httpx
import openai
import pytest
from msgspec import structs
from openai.types.responses import (
    FunctionToolParam,
    Response,
    ResponseInputParam,
)

from tests.unit.gateway.conftest import ANSWER, PATIENCE, QUESTION, Serve, Standstill, bees, make_play
from tests.unit.gateway.told import WEATHER, Told, events_of, told_by
from waggle.core.chat_values import Role, ToolCall, Turn
from waggle.gateway.app import make_app
from waggle.gateway.options import GatewayOptions


@pytest.fixture
def client(openai_client: openai.AsyncOpenAI) -> openai.AsyncOpenAI:
    return openai_client


async def test_the_swarm_answers_a_response(client: openai.AsyncOpenAI) -> None:
    raw = await client.responses.with_raw_response.create(model="swarm", input=QUESTION, store=False)
    made = Response.model_validate_json(raw.text)
    assert made.output_text == raw.parse().output_text == ANSWER
    assert (made.status, made.model, made.error) == ("completed", "swarm", None)
    assert made.usage is not None
    assert made.usage.total_tokens == made.usage.input_tokens + made.usage.output_tokens > 0
    assert made.model_extra is not None
    assert made.model_extra["store"] is False
    waggle = made.model_extra["waggle"]
    assert made.id == f"resp_{waggle['round_id']}" == f"resp_{raw.headers['x-request-id']}"
    assert waggle["abstained"] is False
    assert waggle["supporters"] == ["ant", "bee", "cat"]


@pytest.mark.parametrize("model", ["swarm", "swarm/vote", "solo/bee"])
async def test_a_stream_adds_up_to_the_response_that_ends_it(client: openai.AsyncOpenAI, model: str) -> None:
    events = await events_of(client, model=model, input=QUESTION)
    names = [event.type for event in events]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert names[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert names[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert set(names[4:-4]) == {"response.output_text.delta"}
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    last = events[-1]
    assert last.type == "response.completed"
    assert said == last.response.output_text
    assert ANSWER in said
    assert last.response.usage is not None


async def test_a_model_alone_is_streamed_as_it_writes(client: openai.AsyncOpenAI) -> None:
    events = await events_of(client, model="solo/bee", input=QUESTION)
    assert [event.type for event in events].count("response.output_text.delta") > 3


async def test_the_client_s_own_stream_helper_works(client: openai.AsyncOpenAI) -> None:
    async with client.responses.stream(model="swarm", input=QUESTION) as stream:
        async for _ in stream:
            pass
        made = await stream.get_final_response()
    assert made.output_text == ANSWER


async def test_the_conversation_reaches_the_model_as_it_was_sent(serve: Serve) -> None:
    engine = Told("well")
    asked: ResponseInputParam = [
        {"role": "user", "content": "What is the weather in Rome?"},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city":"Rome"}'},
        {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": '{"city":"Ostia"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "windy"}]},
    ]
    async with told_by(serve, engine) as client:
        made = await client.responses.create(
            model="solo/told", input=asked, instructions="Be brief.", tools=[WEATHER], temperature=0.5, top_p=0.9,
            max_output_tokens=77,
        )  # fmt: skip
    assert made.output_text == "well"
    (request,) = engine.requests
    calls = (
        ToolCall(id="c1", name="weather", arguments='{"city":"Rome"}'),
        ToolCall(id="c2", name="weather", arguments='{"city":"Ostia"}'),
    )
    assert request.turns == (
        Turn(role=Role.SYSTEM, content="Be brief."),
        Turn(role=Role.USER, content="What is the weather in Rome?"),
        Turn(role=Role.ASSISTANT, content="", tool_calls=calls),
        Turn(role=Role.TOOL, content="sunny", tool_call_id="c1"),
        Turn(role=Role.TOOL, content="windy", tool_call_id="c2"),
    )
    assert (request.max_tokens, request.sampling.temperature, request.sampling.top_p) == (77, 0.5, 0.9)
    assert [tool.name for tool in request.tools] == ["weather"]


@pytest.mark.parametrize("model", ["swarm", "solo/told"])
async def test_a_call_of_a_function_comes_back_and_can_be_sent_again(serve: Serve, model: str) -> None:
    engine = Told("", calls=(ToolCall(id="c1", name="weather", arguments='{"city":"Rome"}'),))
    async with told_by(serve, engine) as client:
        made = await client.responses.create(model=model, input="Rome?", tools=[WEATHER], tool_choice="required")
        (call,) = made.output
        assert call.type == "function_call"
        assert (call.name, call.call_id, call.arguments) == ("weather", "c1", '{"city":"Rome"}')
        engine.texts, engine.tool_calls = ["sunny"], ()
        again: ResponseInputParam = [
            {"role": "user", "content": "Rome?"},
            call.model_dump(exclude_unset=True),  # type: ignore[list-item]  # what the client itself sends
            {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
        ]
        assert (await client.responses.create(model=model, input=again)).output_text == "sunny"


async def test_an_answer_of_ours_can_be_sent_back_as_it_is(client: openai.AsyncOpenAI) -> None:
    first = await client.responses.create(model="swarm", input=QUESTION)
    again = [{"role": "user", "content": QUESTION}, *first.output, {"role": "user", "content": "What is 2 + 3?"}]
    second = await client.responses.create(model="swarm", input=again)  # type: ignore[arg-type]
    assert second.output_text == "5"


@pytest.mark.parametrize("arguments", ['{"city":7}', '```json\n{"city":"Rome"}\n```'])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_strict_function_is_never_called_with_what_does_not_fit(
    serve: Serve, streamed: bool, arguments: str
) -> None:
    engine = Told("", calls=(ToolCall(id="c1", name="weather", arguments=arguments),))
    tool: FunctionToolParam = {**WEATHER, "strict": True}
    async with told_by(serve, engine) as client:
        with pytest.raises(openai.UnprocessableEntityError):
            await client.responses.create(model="swarm", input="Rome?", tools=[tool], stream=streamed)


async def test_a_call_of_a_function_is_streamed(serve: Serve) -> None:
    engine = Told("Let me see.", calls=(ToolCall(id="c1", name="weather", arguments='{"city":"Rome"}'),))
    async with told_by(serve, engine) as client:
        events = await events_of(client, model="swarm", input="Rome?", tools=[WEATHER])
    names = [event.type for event in events]
    assert names[-5:] == [
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    last = events[-1]
    assert last.type == "response.completed"
    assert [item.type for item in last.response.output] == ["message", "function_call"]
    added = [event.output_index for event in events if event.type == "response.output_item.added"]
    assert added == [0, 1]


async def test_an_answer_that_was_cut_is_incomplete(serve: Serve) -> None:
    async with told_by(serve, Told("abcd")) as client:
        made = await client.responses.create(model="solo/told", input="?", max_output_tokens=4)
        events = await events_of(client, model="solo/told", input="?", max_output_tokens=4)
    assert made.status == "incomplete"
    assert made.incomplete_details is not None
    assert made.incomplete_details.reason == "max_output_tokens"
    assert [item.status for item in made.output if item.type == "message"] == ["incomplete"]
    assert events[-1].type == "response.incomplete"


async def test_a_model_that_dies_ends_the_stream_with_a_failure_that_names_nothing(serve: Serve) -> None:
    engine = Told("abcd", fails_after=2)
    async with told_by(serve, engine) as client:
        events = await events_of(client, model="solo/told", input="?")
    last = events[-1]
    assert last.type == "response.failed"
    assert last.response.status == "failed"
    assert last.response.error is not None
    assert last.response.error.code == "server_error"
    assert "10.0.0.7" not in last.response.error.message


@pytest.mark.parametrize(
    "asked",
    [
        {"extra_body": {"waggle": {"min_confidence": 1.0, "explain": True}}},
        {"extra_headers": {"X-Waggle-Min-Confidence": "1", "X-Waggle-Explain": "true"}},
    ],
)
async def test_an_abstention_is_a_response_that_says_so(client: openai.AsyncOpenAI, asked: dict[str, object]) -> None:
    made = await client.responses.create(model="swarm", input=QUESTION, **asked)  # type: ignore[call-overload]
    assert made.model_extra["waggle"]["abstained"] is True
    assert "candidates" in made.model_extra["waggle"]
    assert made.status == "completed"
    assert "abstained" in made.output_text


async def test_drafts_come_where_they_are_wished_for(serve: Serve) -> None:
    scripts, clock, lines = bees(), Standstill(), list[str]()
    scripts["cat"] = structs.replace(scripts["cat"], seconds_per_call=1.0)
    play = await make_play(clock, **scripts)
    async with serve(make_app(play.service, GatewayOptions())) as url, httpx.AsyncClient(timeout=PATIENCE) as client:
        asked = {"model": "swarm", "input": QUESTION, "stream": True, "waggle": {"stream": "draft"}}
        async with client.stream("POST", f"{url}/v1/responses", json=asked) as stream:
            async for line in stream.aiter_lines():
                lines.append(line)
                if line == "event: waggle.draft":
                    clock.go.set()
    assert any(line.startswith((": proposals", ": waiting")) for line in lines)
    drafts = [json.loads(after[6:]) for line, after in pairwise(lines) if line == "event: waggle.draft"]
    assert [draft["draft"] for draft in drafts] == [{"index": 0, "text": ANSWER}]
