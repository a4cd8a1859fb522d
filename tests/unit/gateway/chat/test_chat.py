"""POST /v1/chat/completions and /v1/completions, answered whole."""

import asyncio
import json
from collections.abc import Mapping

import httpx
import pytest
from msgspec.structs import replace
from openai.types import Completion
from openai.types.chat import ChatCompletion

from tests.unit.gateway.asking import CHAT, PATHS, RESPONSES, TEXT, body_of, sent
from tests.unit.gateway.conftest import (
    ANSWER,
    PATIENCE,
    QUESTION,
    FakeService,
    Play,
    Serve,
    bees,
    caller,
    make_play,
    tokens_of,
    until,
)
from waggle.core.asking import AskOptions
from waggle.core.engine_values import StreamedToken
from waggle.core.errors import EngineUnavailable, PeerBusy, UsageError
from waggle.core.round_values import Record
from waggle.engines.script import Crasher, Hanger, Script, Shill
from waggle.gateway.app import make_app
from waggle.gateway.chat.shapes import ChatRequest
from waggle.gateway.chat.to_values import chat_jobs
from waggle.gateway.jobs.answering import Answerer
from waggle.gateway.jobs.results import ABSTAINED
from waggle.gateway.jobs.values import Setting, ToolsFirst
from waggle.gateway.options import GatewayOptions
from waggle.gateway.shapes import WaggleOptions
from waggle.node.clock import SystemClock
from waggle.node.services.local import LocalService
from waggle.node.services.service import ServedModel, Service

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


async def post(client: httpx.AsyncClient, fields: Mapping[str, object] | None = None, **headers: str) -> httpx.Response:
    return await client.post(CHAT, json=body_of(**fields or {}), headers=headers)


def read(response: httpx.Response) -> ChatCompletion:
    assert response.status_code == 200, response.text
    return ChatCompletion.model_validate_json(response.text)


async def answered(service: Service, **fields: object) -> ChatCompletion:
    return read(await sent(service, **fields))


def waggle_of(made: ChatCompletion | Completion) -> dict[str, object]:
    extra = made.model_extra
    assert extra is not None
    told = extra["waggle"]
    assert isinstance(told, dict)
    return told


async def test_the_swarm_s_answer_says_how_sure_it_is_and_what_it_cost(client: httpx.AsyncClient) -> None:
    response = await post(client)
    made = ChatCompletion.model_validate_json(response.text)
    told = waggle_of(made)
    assert made.choices[0].message.content == ANSWER
    assert told["round_id"] == response.headers["x-request-id"] == made.id.removeprefix("chatcmpl-")
    assert told["supporters"] == ["ant", "bee", "cat"]
    assert (told["abstained"], told["best_guess"], told["runner_up"]) == (False, None, None)
    assert isinstance(told["confidence"], float)


async def test_usage_counts_the_prompts_and_completions_of_all_calls(play: Play) -> None:
    made = await answered(play.service)
    spent = waggle_of(made)["spent"]
    assert made.usage is not None
    assert isinstance(spent, dict)
    assert made.usage.prompt_tokens == spent["prompt_tokens"] == 5 * play.calls
    assert made.usage.total_tokens == spent["proposing_tokens"] + spent["judging_tokens"] + spent["wasted_tokens"]


async def test_judging_is_counted_as_well() -> None:
    play = await make_play(**bees(), liar=Script(name="liar", conduct=Shill(answer="7")))
    made = await answered(play.service, waggle={"explain": True})
    told = waggle_of(made)
    spent = told["spent"]
    assert isinstance(spent, dict)
    assert spent["judging_tokens"] > 0
    assert told["runner_up"] == "7"
    assert made.usage is not None
    assert made.usage.total_tokens == spent["proposing_tokens"] + spent["judging_tokens"] + spent["wasted_tokens"]
    assert {"candidates", "ballots", "failed", "reason"} <= set(told)


async def test_an_abstention_is_an_answer_that_says_so_and_holds_no_guess(service: LocalService) -> None:
    made = await answered(service, waggle={"min_confidence": 1.0})
    assert made.choices[0].message.content == ABSTAINED
    assert ANSWER not in ABSTAINED
    assert made.choices[0].finish_reason == "stop"
    told = waggle_of(made)
    assert (told["abstained"], told["best_guess"]) == (True, ANSWER)


async def test_the_same_is_said_by_headers(client: httpx.AsyncClient) -> None:
    response = await post(client, None, **{"X-Waggle-Min-Confidence": "1", "X-Waggle-Explain": "true"})
    told = waggle_of(read(response))
    assert told["abstained"] is True
    assert "candidates" in told
    both = await post(client, {"waggle": {"min_confidence": 0}}, **{"X-Waggle-Min-Confidence": "1"})
    assert waggle_of(read(both))["abstained"] is False


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Waggle-Judges", "many"),
        ("X-Waggle-Budget-Seconds", "inf"),
        ("X-Waggle-Budget-Seconds", "nan"),
        ("X-Waggle-Api-Base", "http://10.0.0.7"),
    ],
)
async def test_a_header_that_cannot_be_read_is_a_400_that_names_it(
    client: httpx.AsyncClient, header: str, value: str
) -> None:
    response = await post(client, None, **{header: value})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == header
    assert value not in response.text


async def recorded(answer: str) -> Record:
    """The record of a round that one engine won with this answer."""
    play = await make_play(one=Script(name="one", conduct=Shill(answer=answer), answer_marker=None))
    return await play.service.ask(QUESTION, AskOptions())


async def test_stop_strings_cut_the_swarm_s_answer_too() -> None:
    service = FakeService(record=await recorded("one END two STOP three"))
    for stop, text in ((["STOP", " END"], "one"), ("nowhere", "one END two STOP three")):
        assert (await answered(service, stop=stop)).choices[0].message.content == text


async def test_the_runner_up_is_cut_where_the_answer_would_be() -> None:
    record = await recorded("one END two")
    service = FakeService(record=replace(record, outcome=replace(record.outcome, runner_up="three END four")))
    assert waggle_of(await answered(service, stop=" END"))["runner_up"] == "three"
    assert waggle_of(await answered(service))["runner_up"] == "three END four"


async def test_several_choices_are_several_rounds_with_ids_of_their_own(play: Play) -> None:
    made = await answered(play.service, n=3, temperature=1, seed=5)
    assert [choice.index for choice in made.choices] == [0, 1, 2]
    told = [choice.model_extra["waggle"] for choice in made.choices if choice.model_extra]
    assert len({one["round_id"] for one in told}) == 3
    assert made.usage is not None
    assert made.usage.prompt_tokens == sum(one["spent"]["prompt_tokens"] for one in told) == 5 * play.calls


async def test_a_model_alone_is_asked_with_everything_that_was_said() -> None:
    service = FakeService(tokens=tokens_of("4", "2"))
    fields = {"model": "solo/ant", "temperature": 0.5, "seed": 9, "max_tokens": 11, "stop": "X", "top_p": 0.5}
    made = await answered(service, **fields)
    assert made.choices[0].message.content == "42"
    assert made.usage is not None
    assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (5, 2)
    (asked,) = service.generated
    assert (asked.question, asked.max_tokens, asked.stop) == (QUESTION, 11, ("X",))
    assert (asked.sampling.temperature, asked.sampling.top_p, asked.sampling.seed) == (0.5, 0.5, 9)


async def test_logprobs_of_a_model_alone_add_up_to_its_text() -> None:
    service = FakeService(tokens=tokens_of("4", "2é"))
    made = await answered(service, model="solo/ant", logprobs=True)
    legacy = await sent(service, TEXT, model="solo/ant", logprobs=0)
    logprobs = made.choices[0].logprobs
    assert logprobs is not None
    assert [(token.token, token.logprob) for token in logprobs.content or ()] == [("4", -0.5), ("2é", -0.5)]
    assert [token.bytes for token in logprobs.content or ()] == [[52], [50, 195, 169]]
    shown = Completion.model_validate_json(legacy.text).choices[0].logprobs
    assert shown is not None
    assert (shown.tokens, shown.text_offset, shown.token_logprobs) == (["4", "2é"], [0, 1], [-0.5, -0.5])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "asks"), [(CHAT, {"logprobs": True, "top_logprobs": 0}), (TEXT, {"logprobs": 0})])
async def test_a_model_that_gives_no_logprobs_is_a_400_where_they_are_asked_for(
    path: str, asks: dict[str, object], stream: bool
) -> None:
    tokens = [StreamedToken(text=token.text, generation=token.generation) for token in tokens_of("4", "2")]
    service = FakeService(tokens=tokens)
    response = await sent(service, path, model="solo/ant", stream=stream, **asks)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "logprobs")
    assert service.given == 1  # nothing more is made in vain


HELD = (("a", -0.1), ("", -0.2), ("bc", -0.3), ("", -0.4), ("d", None))
"""Text that may begin a stop string is held back by an engine, and told with a later token or at the end."""


@pytest.mark.parametrize("stream", [False, True])
async def test_tokens_whose_text_was_held_back_keep_their_logprobs(stream: bool) -> None:
    *_, end = tokens_of("abc", "d")
    assert end.generation is not None
    tokens = [StreamedToken(text=text, logprob=logprob) for text, logprob in HELD[:-1]]
    service = FakeService(tokens=[*tokens, StreamedToken(text="d", generation=end.generation)])
    response = await sent(service, model="solo/ant", logprobs=True, stream=stream)
    assert response.status_code == 200
    bodies = [json.loads(line[6:]) for line in response.text.split("\n") if line.startswith("data: {")] or [
        response.json()
    ]
    found = [choice["logprobs"]["content"] for body in bodies for choice in body["choices"] if choice["logprobs"]]
    told = [(token["token"], token["logprob"], token["top_logprobs"]) for tokens in found for token in tokens]
    assert told == [("a", -0.1, []), ("", -0.2, []), ("bc", -0.3, []), ("d", -0.4, [])]


@pytest.mark.parametrize(
    ("path", "asks", "param"),
    [
        (CHAT, {"logprobs": True, "top_logprobs": 3}, "top_logprobs"),
        (CHAT, {"top_logprobs": 1}, "top_logprobs"),
        (TEXT, {"logprobs": 3}, "logprobs"),
        (RESPONSES, {"top_logprobs": 3}, "top_logprobs"),
    ],
)
async def test_alternatives_to_a_token_are_a_400_that_says_what_can_be_had(
    service: LocalService, path: str, asks: dict[str, object], param: str
) -> None:
    response = await sent(service, path, model="solo/ant", **asks)
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["param"], error["code"]) == (param, "unsupported_parameter")
    assert error["message"].endswith("ask for 0 or leave it out")


async def test_a_model_that_was_cut_off_says_so() -> None:
    service = FakeService(tokens=tokens_of("4", finish="length"))
    assert (await answered(service, model="solo/ant")).choices[0].finish_reason == "length"


async def test_calls_of_tools_come_back_in_openai_s_shape_from_the_best_model() -> None:
    call = {"id": "call_1", "name": "add", "arguments": '{"a": 1}'}
    service = FakeService(tokens=tokens_of(tool_calls=[call], finish="tool_calls"))
    made = await answered(service, tools=[TOOL])
    (choice,) = made.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    shown = choice.message.model_dump()["tool_calls"]
    assert shown == [{"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}]
    assert waggle_of(made)["model"] == "bee"
    assert service.generated[0].tools[0].name == "add"


@pytest.mark.parametrize(
    ("fails", "status", "headers"),
    [
        (PeerBusy("10.0.0.7 is full", 7), 429, {"retry-after": "7"}),
        (EngineUnavailable("10.0.0.7 is down"), 503, {}),
        (UsageError("the question is empty"), 400, {}),
        (TimeoutError("10.0.0.7"), 408, {}),
        (RuntimeError("10.0.0.7"), 500, {}),
    ],
)
@pytest.mark.parametrize("model", ["swarm", "solo/ant"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_is_a_status_and_never_an_answer(
    fails: Exception, status: int, headers: dict[str, str], model: str, stream: bool
) -> None:
    app = make_app(FakeService(fails=fails), GatewayOptions())
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        response = await post(client, {"model": model, "stream": stream})
    assert response.status_code == status
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert headers.items() <= response.headers.items()
    assert "10.0.0.7" not in response.text


@pytest.mark.parametrize(
    ("scripts", "seconds", "status"),
    [
        ({"a": Script(conduct=Crasher()), "b": Script(conduct=Crasher())}, 60, 503),
        ({"a": Script(conduct=Hanger()), "b": Script(conduct=Hanger())}, 0.2, 408),
    ],
)
async def test_a_round_without_any_answer_is_an_error(scripts: dict[str, Script], seconds: float, status: int) -> None:
    play = await make_play(**scripts)
    response = await sent(play.service, waggle={"budget_seconds": seconds})
    assert response.status_code == status
    assert "script" not in response.text
    assert play.in_flight == 0


async def test_a_model_that_takes_too_long_is_a_408() -> None:
    play = await make_play(slow=Script(name="slow", conduct=Hanger()))
    response = await sent(play.service, CHAT, GatewayOptions(request_seconds=0.1), model="solo/slow")
    assert response.status_code == 408
    assert play.in_flight == 0


async def test_an_overlong_question_is_a_400(client: httpx.AsyncClient) -> None:
    response = await post(client, {"messages": [{"role": "user", "content": "a" * 70_000}]})
    assert response.status_code == 400
    assert "64 KiB" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"[" * 100_000, b'{"model": "swarm", "messages": ' + b"[" * 50_000]
)
async def test_a_body_that_is_no_request_is_a_400(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post(CHAT, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400, response.text
    assert response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", PATHS)
async def test_a_full_gateway_tells_when_to_come_again(serve: Serve, path: str) -> None:
    play = await make_play(slow=Script(name="slow", conduct=Hanger()))
    app = make_app(play.service, GatewayOptions(max_running=1, max_waiting=0, max_waiting_per_key=0))
    async with serve(app) as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        first = asyncio.create_task(client.post(path, json=body_of(path, waggle={"budget_seconds": 100})))
        await play.until(1)
        for stream in (False, True):
            response = await client.post(path, json=body_of(path, stream=stream))
            assert (response.status_code, response.json()["error"]["code"]) == (429, "rate_limit_exceeded")
            assert int(response.headers["retry-after"]) >= 1
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await play.until(0)


@pytest.mark.parametrize(("path", "stream"), [(CHAT, False), (RESPONSES, False), (RESPONSES, True)])
@pytest.mark.parametrize("model", ["swarm", "solo/slow"])
async def test_a_client_that_goes_away_stops_the_work(serve: Serve, model: str, path: str, stream: bool) -> None:
    play = await make_play(slow=Script(name="slow", conduct=Hanger()))
    async with (
        serve(make_app(play.service, GatewayOptions())) as url,
        httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client,
    ):
        asking = asyncio.create_task(client.post(path, json=body_of(path, model=model, stream=stream)))
        await play.until(1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await play.until_idle()


class Kept:
    """A history that keeps what it is given."""

    def __init__(self) -> None:
        self.added: list[tuple[Record, dict[str, object]]] = []

    def add(self, record: Record, **named: object) -> None:
        self.added.append((record, named))


async def test_finished_rounds_are_added_to_the_history(play: Play) -> None:
    kept = Kept()
    app = make_app(play.service, GatewayOptions(), history=kept)  # type: ignore[arg-type]  # the part that is used
    async with caller(app) as client:
        response = await post(client, {"n": 2})
    request = response.headers["x-request-id"]
    assert [named["request"] for _, named in kept.added] == [request, request]
    assert {record.plan.round_id for record, _ in kept.added} > {request}


async def test_an_answer_that_has_to_be_json_is_json() -> None:
    service = FakeService(tokens=tokens_of('```json\n{"answer": 42}\n```'))
    schema = {"type": "object", "properties": {"answer": {"type": "integer"}}, "required": ["answer"]}
    forms = [
        {"type": "json_schema", "json_schema": {"name": "a", "schema": each}} for each in (schema, {"type": "array"})
    ]
    made = await answered(service, model="solo/ant", response_format=forms[0])
    wrong = await sent(service, model="solo/ant", response_format=forms[1])
    assert json.loads(made.choices[0].message.content or "") == {"answer": 42}
    assert wrong.status_code == 422
    assert "42" not in wrong.text


@pytest.mark.parametrize(
    "form",
    [
        {"type": "json_schema"},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "nonsense"}}},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": {"pattern": "(a)\\1$", "type": "string"}}},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": {"$ref": "http://10.0.0.7/schema"}}},
        {"type": "xml"},
    ],
)
async def test_a_form_that_is_none_is_a_400(client: httpx.AsyncClient, form: dict[str, object]) -> None:
    response = await post(client, {"response_format": form})
    assert (response.status_code, response.json()["error"]["type"]) == (400, "invalid_request_error")
    assert response.json()["error"]["param"].startswith("response_format")


async def test_a_gateway_without_models_is_not_ready(client: httpx.AsyncClient) -> None:
    class Empty(FakeService):
        def models(self) -> tuple[ServedModel, ...]:
            return ()

    assert (await client.get("/health/ready")).json() == {"status": "ready"}
    async with caller(make_app(Empty(), GatewayOptions())) as alone:
        assert (await alone.get("/health/live")).status_code == 200
        assert (await alone.get("/health/ready")).status_code == 503
        assert (await post(alone, {"tools": [TOOL]})).status_code == 503


STRICT = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("arguments", "strict", "status"),
    [
        ('{"a": 1}', True, 200),
        ('{"a": "x"}', True, 422),
        ("{", True, 422),
        ("{}", True, 422),
        ('{"a": "x"}', False, 200),
    ],
)
async def test_a_strict_tool_is_called_with_what_fits_or_not_at_all(arguments: str, strict: bool, status: int) -> None:
    call = {"id": "call_1", "name": "add", "arguments": arguments}
    service = FakeService(tokens=tokens_of(tool_calls=[call], finish="tool_calls"))
    tool = {"type": "function", "function": {"name": "add", "parameters": STRICT, "strict": strict}}
    response = await sent(service, tools=[tool])
    assert response.status_code == status, response.text


@pytest.mark.parametrize(
    "schema", [{"type": "object", "properties": 5}, {"$ref": "http://10.0.0.7/"}, {"pattern": "("}]
)
async def test_a_bad_schema_of_a_tool_reaches_no_checker(client: httpx.AsyncClient, schema: dict[str, object]) -> None:
    tool = {"type": "function", "function": {"name": "add", "parameters": schema, "strict": True}}
    response = await post(client, {"tools": [tool]})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "tools[0].function.parameters")


async def test_options_of_a_stream_need_a_stream(client: httpx.AsyncClient) -> None:
    response = await post(client, {"stream_options": {"include_usage": True}})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "stream_options")


class Counting(SystemClock):
    """Counts how often somebody slept."""

    sleeps = 0

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        await super().sleep(seconds)


@pytest.mark.parametrize("model", ["swarm", "solo/slow"])
async def test_what_a_client_had_made_before_it_went_is_charged(model: str) -> None:
    charged, clock = list[int](), Counting()
    slow = Script(name="slow", seconds_per_token=0.01, conduct=Shill(answer="word " * 1_000), answer_marker=None)
    scripts = {"slow": slow, **({"fast": Script(name="fast")} if model == "swarm" else {})}
    play = await make_play(clock, **scripts)
    answerer = Answerer(play.service, charge=charged.append)
    body = ChatRequest.model_validate(body_of(model=model, max_tokens=500))
    setting = Setting(models=play.service.models(), options=GatewayOptions(), request="0" * 32)
    (job,) = chat_jobs(body, WaggleOptions(), setting)
    assert not isinstance(job, ToolsFirst)
    working = asyncio.create_task(answerer.answer(job, "0" * 32))
    await until(lambda: clock.sleeps > 3)  # one for each token
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert sum(charged) > 0
    assert play.in_flight == 0


async def test_a_method_that_is_not_there_is_told_with_those_that_are(client: httpx.AsyncClient) -> None:
    response = await client.get(CHAT)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert response.json()["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize("depth", [300, 900, 5_000])
@pytest.mark.parametrize(
    "place", ['"tools":[{"type":"function","function":{"name":"f","parameters":@}}]', '"x":@', '"metadata":@']
)
async def test_what_is_nested_without_end_is_a_400(client: httpx.AsyncClient, place: str, depth: int) -> None:
    nested = '{"a":' * depth + "1" + "}" * depth
    body = '{"model":"solo/ant","messages":[{"role":"user","content":"hi"}],' + place.replace("@", nested) + "}"
    response = await client.post(CHAT, content=body, headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["error"]["type"]) == (400, "invalid_request_error")
