"""Why there is no answer: one cause, one message, and what it cost all the same."""

from collections.abc import AsyncIterator

import httpx
import openai
import pytest
from msgspec.structs import replace

from tests.unit.gateway.asking import CHAT, PATHS, RESPONSES, TEXT, USER, body_of, sent
from tests.unit.gateway.conftest import QUESTION, FakeService, Play, Serve, bees, client_of, make_play
from tests.unit.gateway.late import late_caller
from tests.unit.gateway.told import Told, service_of
from waggle.core.asking import AskOptions
from waggle.core.engine_values import EngineCard, GenerateRequest
from waggle.core.errors import EngineRefused, PeerUnreachable, TooLong
from waggle.core.failures import Cause, Failure
from waggle.core.round_values import Record
from waggle.engines.script import Crasher
from waggle.gateway.app import make_app
from waggle.gateway.jobs.results import why_nobody
from waggle.gateway.options import GatewayOptions

LONG = "the question takes 900 tokens, the model's context has 256 http://10.0.0.7"
LONG_ONE = Failure(Cause.TOO_LONG, LONG)
LOST, NO_TOOLS = Failure(Cause.UNREACHABLE, "lost"), Failure(Cause.REFUSED, "it calls no tools")
PLACES = [(CHAT, "messages"), (TEXT, "prompt"), (RESPONSES, "input")]


@pytest.fixture
async def failed() -> AsyncIterator[Record]:
    """A round in which nobody managed."""
    play = await make_play(**{name: replace(script, conduct=Crasher()) for name, script in bees().items()})
    yield await play.service.ask(QUESTION, AskOptions())
    await play.service.close()


def with_failures(record: Record, *given: Failure) -> Record:
    failures = dict(zip(record.outcome.failures, given, strict=False))
    return replace(record, outcome=replace(record.outcome, failures=failures))


@pytest.mark.parametrize("model", ["swarm", "solo/bee"])
@pytest.mark.parametrize(("path", "param"), PLACES)
async def test_a_question_that_is_too_long_for_every_model_is_a_400_that_is_not_tried_again(
    failed: Record, path: str, param: str, model: str
) -> None:
    service = FakeService(record=with_failures(failed, *[LONG_ONE] * 3), fails=TooLong(LONG))
    response = await sent(service, path, model=model)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "context_length_exceeded", param)
    assert error["message"].startswith(f"{param}: ")
    assert "10.0.0.7" not in response.text


@pytest.mark.parametrize(
    ("failures", "status"),
    [((LONG_ONE, LONG_ONE, LOST), 400), ((LOST, LOST, LOST), 503), ((NO_TOOLS, LOST, LOST), 503)],
)
def test_only_a_length_is_told_as_one(failed: Record, failures: tuple[Failure, ...], status: int) -> None:
    assert why_nobody(with_failures(failed, *failures), 256).status == status


async def test_the_longest_context_is_told_where_it_is_known() -> None:
    class Small(Told):
        async def stream(self, request: GenerateRequest):  # type: ignore[no-untyped-def]  # noqa: ANN202
            raise TooLong(LONG)
            yield

    for model in ("solo/told", "swarm"):
        error = (await sent(await service_of(Small("x")), model=model)).json()["error"]
        assert error["code"] == "context_length_exceeded"
        assert "100 tokens" in error["message"]


async def test_another_refusal_of_a_model_is_not_said_to_be_one_of_length() -> None:
    response = await sent(FakeService(fails=EngineRefused("this model has no http://10.0.0.7")), model="solo/bee")
    assert (response.status_code, response.json()["error"]["code"]) == (422, "refused")
    assert "long" not in response.text
    assert "10.0.0.7" not in response.text


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
async def test_a_budget_that_is_too_small_for_an_answer_is_blamed_itself(play: Play, path: str) -> None:
    response = await sent(play.service, path, waggle={"budget_tokens": 82})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "budget_too_small", "waggle.budget_tokens")
    assert response.json()["usage"]["total_tokens"] > 0


@pytest.mark.parametrize(
    ("path", "field"),
    [(CHAT, "max_tokens"), (CHAT, "max_completion_tokens"), (TEXT, "max_tokens"), (RESPONSES, "max_output_tokens")],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_length_that_is_too_small_is_blamed_by_the_name_that_was_sent(
    play: Play, path: str, field: str, stream: bool
) -> None:
    response = await sent(play.service, path, stream=stream, **{field: 2})
    told = response.json()
    assert (response.status_code, told["error"]["code"]) == (400, "max_tokens_too_small")
    assert (told["error"]["param"], "within " + field in told["error"]["message"]) == (field, True)
    total = {"prompt_tokens", "completion_tokens"} if path != RESPONSES else {"input_tokens", "output_tokens"}
    assert sum(told["usage"][name] for name in total) == told["usage"]["total_tokens"] > 0


@pytest.mark.parametrize(
    ("headers", "fields", "param"),
    [
        ({"X-Waggle-Budget-Tokens": "5"}, {}, "X-Waggle-Budget-Tokens"),
        ({"X-Waggle-Budget-Tokens": "50000"}, {"waggle": {"budget_tokens": 5}}, "waggle.budget_tokens"),
        ({"X-Waggle-Min-Confidence": "0.5"}, {}, "X-Waggle-Min-Confidence"),
        ({"X-Waggle-Judges": "3"}, {"waggle": {"min_confidence": 0.0}}, "X-Waggle-Judges"),
        ({"X-Waggle-Stream": "progress"}, {"waggle": {"proposers": 2}}, "waggle.proposers"),
    ],
)
@pytest.mark.parametrize("path", PATHS)
async def test_what_is_at_fault_is_named_as_it_was_sent(
    client: httpx.AsyncClient, path: str, headers: dict[str, str], fields: dict[str, object], param: str
) -> None:
    response = await client.post(path, json=body_of(path, model="solo/ant", **fields), headers=headers)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, param)
    assert error["message"].startswith(param)


async def test_a_limit_of_the_gateway_itself_is_nobody_s_field(play: Play) -> None:
    error = (await sent(play.service, CHAT, GatewayOptions(budget_tokens=5))).json()["error"]
    assert (error["param"], error["code"]) == (None, "budget_too_small")
    assert error["message"] == "the gateway's own limit does not pay for a single answer"


FORM: dict[str, object] = {"response_format": {"type": "json_object"}}


@pytest.mark.parametrize("model", ["swarm", "solo/ant"])
async def test_an_answer_in_json_that_failed_tells_what_all_tries_cost(client: httpx.AsyncClient, model: str) -> None:
    once = (await client.post(CHAT, json=body_of(model=model))).json()["usage"]
    response = await client.post(CHAT, json=body_of(model=model, **FORM))
    assert (response.status_code, response.json()["error"]["code"]) == (422, "json_invalid")
    assert response.json()["usage"]["total_tokens"] > 2 * once["total_tokens"]
    assert set(response.json()["usage"]) == set(once)


async def test_an_abstention_where_json_is_due_has_a_code_of_its_own_and_tells_what_is_known(play: Play) -> None:
    response = await sent(play.service, **FORM, waggle={"min_confidence": 1.0})
    told = response.json()
    assert (response.status_code, told["error"]["code"]) == (422, "abstained")
    assert told["waggle"]["best_guess"] == "42"
    assert told["waggle"]["round_id"] == response.headers["x-request-id"]
    assert told["usage"]["total_tokens"] > 0


async def test_a_response_that_failed_tells_its_usage_as_the_client_reads_it(serve: Serve) -> None:
    text = {"format": {"type": "json_object"}}
    async with serve(make_app(await service_of(Told("no")), GatewayOptions())) as url, client_of(url) as client:
        with pytest.raises(openai.UnprocessableEntityError) as caught:
            await client.responses.create(model="solo/told", input="?", text=text)  # type: ignore[call-overload]
        with pytest.raises(openai.UnprocessableEntityError) as streamed:
            await client.responses.create(model="solo/told", input="?", text=text, stream=True)  # type: ignore[call-overload]
    for failed in (caught, streamed):
        usage = failed.value.response.json()["usage"]
        assert usage == {"input_tokens": 9, "output_tokens": 6, "total_tokens": 15}


class Deaf(Told):
    """Reads the last question and nothing else."""

    async def describe(self) -> EngineCard:
        return replace(await super().describe(), converses=False)


@pytest.mark.parametrize("model", ["swarm", "solo/told"])
async def test_what_no_model_reads_is_told_in_the_answer(model: str) -> None:
    service, messages = await service_of(Deaf("{}")), [{"role": "system", "content": "Answer only BANANA."}, USER]
    made = (await sent(service, model=model, messages=messages, **FORM)).json()
    plain = (await sent(service, model=model)).json()
    streamed = (await sent(service, RESPONSES, model=model, input=messages, stream=True)).text
    assert made["waggle"]["ignored"] == ["system", "response_format"]
    assert "ignored" not in plain["waggle"]
    assert '"ignored":["system"]' in streamed


@pytest.mark.parametrize("path", PATHS)
async def test_a_stream_that_failed_leaves_a_warning_in_the_log(path: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", "waggle"):
        async with late_caller(PeerUnreachable("http://10.0.0.7 is gone")) as client:
            response = await client.post(path, json=body_of(path, stream=True))
    assert response.status_code == 200
    (line,) = caplog.records
    assert (line.message, "10.0.0.7" in caplog.text) == ("stream failed", False)


async def test_a_failure_that_cost_nothing_tells_no_usage() -> None:
    response = await sent(FakeService(fails=PeerUnreachable("gone")), model="solo/bee")
    assert (response.status_code, set(response.json())) == (503, {"error"})
