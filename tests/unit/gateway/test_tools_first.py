"""Turns in which a tool may be called: a model that calls tools is asked first, the committee where it calls none."""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
from msgspec.structs import replace

from tests.unit.gateway.asking import CHAT, RESPONSES, USER, sent
from tests.unit.gateway.conftest import ANSWER, QUESTION, FakeService, Play, bees, caller, make_play, tokens_of
from waggle.core.asking import AskOptions
from waggle.core.engine_values import GenerateRequest
from waggle.core.ids import NodeId
from waggle.core.round_values import Budget, Record
from waggle.gateway.app import make_app
from waggle.gateway.errors import ApiError
from waggle.gateway.jobs.values import Answer, ForModel, ForSwarm, Job, ToolsFirst
from waggle.gateway.jobs.wanted import Wanted
from waggle.gateway.options import GatewayOptions

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
FLAT = {"type": "function", "name": "add", "parameters": {"type": "object"}}
BOTH = [(CHAT, TOOL), (RESPONSES, FLAT)]


@dataclass(frozen=True)
class Scene:
    """A swarm in which only bee calls tools, and a client of it."""

    play: Play
    client: httpx.AsyncClient

    async def ask(self, messages: list[object], **fields: object) -> httpx.Response:
        return await self.client.post(CHAT, json={"model": "swarm", "messages": messages, "tools": [TOOL]} | fields)

    @property
    def calls(self) -> dict[NodeId, int]:
        return {node: engine.calls for node, engine in self.play.engines.items()}


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scripts = bees()
    scripts["bee"] = replace(scripts["bee"], tool_call="add", tool_arguments='{"a": 6}')
    play = await make_play(**scripts)
    async with caller(make_app(play.service, GatewayOptions())) as client:
        yield Scene(play, client)
    await play.service.close()


async def record_of(play: Play) -> Record:
    return await play.service.ask(QUESTION, AskOptions(strategy="committee"))


def result_of(call: dict[str, object]) -> list[object]:
    called = {"role": "assistant", "tool_calls": [call]}
    return [USER, called, {"role": "tool", "tool_call_id": call["id"], "content": ANSWER}]


async def test_a_call_of_a_tool_comes_from_one_model_and_asks_nobody_else(scene: Scene) -> None:
    before = scene.calls
    made = (await scene.ask([USER])).json()
    (choice,) = made["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "add", "arguments": '{"a": 6}'}
    assert (made["waggle"]["model"], made["waggle"]["strategy"]) == ("bee", "solo")
    assert made["waggle"]["round_id"] == made["id"].removeprefix("chatcmpl-")
    assert {node for node, number in scene.calls.items() if number > before[node]} == {NodeId("bee")}


async def test_where_no_tool_is_called_the_committee_answers_and_both_are_counted(scene: Scene) -> None:
    call = (await scene.ask([USER])).json()["choices"][0]["message"]["tool_calls"][0]
    model_alone = (await scene.ask(result_of(call), model="solo/bee")).json()["usage"]
    round_alone = (await scene.ask(result_of(call), tools=None)).json()["usage"]
    made = (await scene.ask(result_of(call))).json()
    (choice,) = made["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("stop", ANSWER)
    assert made["waggle"]["asked_for_calls"] == "bee"
    assert made["waggle"]["confidence"] is not None
    assert len(made["waggle"]["supporters"]) == 3
    assert made["waggle"]["round_id"] == made["id"].removeprefix("chatcmpl-")
    assert min(model_alone["total_tokens"], round_alone["total_tokens"]) > 0
    assert made["usage"] == {name: model_alone[name] + round_alone[name] for name in round_alone}
    spent = made["waggle"]["spent"]
    assert spent["proposing_tokens"] + spent["judging_tokens"] == made["usage"]["total_tokens"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "tool"), BOTH)
async def test_the_first_model_s_own_words_are_not_the_answer(
    scene: Scene, path: str, tool: dict[str, object], stream: bool
) -> None:
    service = FakeService(tokens=tokens_of("I need ", "no tool."), record=await record_of(scene.play))
    text = (await sent(service, path, stream=stream, tools=[tool])).text
    assert ANSWER in text
    assert "no tool." not in text
    assert len(service.generated) == len(service.asked) == 1


def task_of(seconds: float = 30.0) -> ToolsFirst:
    options = AskOptions(budget=Budget(tokens=500, seconds=seconds))
    return ToolsFirst(ForModel("bee", GenerateRequest(question=QUESTION), seconds=30.0), ForSwarm(QUESTION, options))


@pytest.mark.parametrize(("used", "left"), [(0, 500), (300, 200), (499, 1)])
async def test_the_committee_has_what_the_first_model_left_of_the_budget(used: int, left: int) -> None:
    jobs: list[Job] = []

    async def do(job: Job, request: str) -> Answer:
        jobs.append(job)
        return Answer(text="x", completion_tokens=used if len(jobs) == 1 else 7)

    began = time.monotonic()
    made = await Wanted(budget_tokens=500).of(task_of(), "ab" * 16, 0, do)
    took = time.monotonic() - began
    second = jobs[1]
    assert isinstance(second, ForSwarm)
    assert second.options.budget.tokens == left
    assert 30.0 - took <= second.options.budget.seconds < 30.0
    assert made.completion_tokens == used + 7


@pytest.mark.parametrize(
    ("used", "seconds", "code"), [(500, 30.0, "budget_too_small"), (900, 30.0, "budget_too_small"), (9, 0.0, "timeout")]
)
async def test_where_nothing_of_the_budget_is_left_that_is_told_with_what_it_cost(
    used: int, seconds: float, code: str
) -> None:
    async def do(job: Job, request: str) -> Answer:
        return Answer(text="x", completion_tokens=used)

    with pytest.raises(ApiError) as failed:
        await Wanted(budget_tokens=500).of(task_of(seconds), "ab" * 16, 0, do)
    assert (failed.value.code, failed.value.usage["total_tokens"]) == (code, used)


async def test_an_answer_of_a_certain_form_is_the_committee_s_too(scene: Scene) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "integer"}}}
    called = (await scene.ask([USER], response_format=form)).json()
    call = called["choices"][0]["message"]["tool_calls"][0]
    made = (await scene.ask(result_of(call), response_format=form)).json()
    assert json.loads(made["choices"][0]["message"]["content"]) == int(ANSWER)
    assert (made["waggle"]["tries"], made["waggle"]["asked_for_calls"]) == (1, "bee")


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "add"}}])
async def test_a_call_that_has_to_be_is_one_model_s_alone(scene: Scene, choice: object) -> None:
    made = (await scene.ask([USER], tool_choice=choice)).json()
    assert made["choices"][0]["finish_reason"] == "tool_calls"
    refused = await scene.ask([USER], tool_choice=choice, waggle={"min_confidence": 0.5})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "waggle.min_confidence")


async def test_the_least_confidence_holds_for_the_answer(scene: Scene) -> None:
    call = (await scene.ask([USER])).json()["choices"][0]["message"]["tool_calls"][0]
    made = (await scene.ask(result_of(call), waggle={"min_confidence": 1.0})).json()
    assert made["waggle"]["abstained"] is True


async def test_a_model_that_calls_none_though_it_has_to_is_told_as_such(scene: Scene) -> None:
    other = {"type": "function", "function": {"name": "sub"}}
    refused = await scene.ask([USER], tools=[other], tool_choice="required")
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "tool_choice")
    assert "context" not in refused.text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "tool"), BOTH)
@pytest.mark.parametrize("parallel", [None, True, False])
async def test_where_calls_may_not_be_parallel_there_is_one(
    path: str, tool: dict[str, object], parallel: bool | None, stream: bool
) -> None:
    calls = [{"id": name, "name": "add", "arguments": "{}"} for name in ("call_1", "call_2")]
    service = FakeService(tokens=tokens_of(tool_calls=calls, finish="tool_calls"))
    text = (await sent(service, path, stream=stream, tools=[tool], parallel_tool_calls=parallel)).text
    assert "call_1" in text
    assert ("call_2" in text) is (parallel is not False)
