"""Streams of the swarm that cannot come to anything: a plain status, as long as nothing has been sent."""

import asyncio
import json

import httpx
import openai
import pytest

from tests.unit.gateway.asking import CHAT, PATHS, RESPONSES, TEXT, USER, body_of, sent
from tests.unit.gateway.conftest import QUESTION, Play, Serve, bees, client_of, make_play
from tests.unit.gateway.late import late_caller
from tests.unit.gateway.told import Told, service_of
from waggle.core.engine_values import GenerateRequest
from waggle.core.errors import PeerUnreachable, TooLong
from waggle.engines.script import Hanger, Script
from waggle.gateway.app import make_app
from waggle.gateway.jobs import watching
from waggle.gateway.options import GatewayOptions


class Small(Told):
    """Has no room for anything, and takes a moment to see it."""

    async def stream(self, request: GenerateRequest):  # type: ignore[no-untyped-def]  # noqa: ANN201
        await asyncio.sleep(0.1)
        raise TooLong("the question takes 900 tokens, the model's context has 256")
        yield


@pytest.mark.parametrize("model", ["swarm", "swarm/committee", "swarm/vote", "swarm/best", "solo/told"])
@pytest.mark.parametrize("path", PATHS)
async def test_what_is_too_long_for_all_is_a_400_before_the_first_byte(path: str, model: str) -> None:
    response = await sent(await service_of(Small("x")), path, model=model, stream=True)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "context_length_exceeded")


@pytest.mark.parametrize("model", ["swarm", "swarm/committee", "solo/ant"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", PATHS)
async def test_a_budget_that_pays_for_nobody_is_a_400_and_asks_nobody(
    path: str, stream: bool, model: str, play: Play
) -> None:
    response = await sent(play.service, path, model=model, stream=stream, waggle={"budget_tokens": 50})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "budget_too_small")
    assert play.calls == 0


async def test_openai_s_client_sees_the_error_where_it_asks(serve: Serve) -> None:
    app = make_app(await service_of(Small("x")), GatewayOptions())
    async with serve(app) as url, client_of(url) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="swarm", messages=[USER], stream=True)
        with pytest.raises(openai.BadRequestError):
            await client.responses.create(model="swarm", input=QUESTION, stream=True)
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize("path", PATHS)
async def test_what_fails_after_the_first_byte_is_an_event(path: str) -> None:
    async with late_caller(PeerUnreachable("http://10.0.0.7")) as client:
        response = await client.post(path, json=body_of(path, stream=True))
    assert response.status_code == 200
    last = json.loads([line for line in response.text.splitlines() if line.startswith("data: {")][-1][6:])
    assert "error" in (last.get("response") or last)
    assert "[DONE]" not in response.text
    assert "10.0.0.7" not in response.text


def opening_of(response: httpx.Response, path: str) -> bool:
    """Whether the stream began as its clients expect."""
    begins = {CHAT: 'data: {"id":"chatcmpl-', TEXT: ": waiting", RESPONSES: "event: response.created"}[path]
    return response.text.startswith(begins)


@pytest.mark.parametrize("path", PATHS)
async def test_the_opening_comes_first_whatever_opens_the_stream(path: str) -> None:
    quick = await make_play(**bees())
    slow = await make_play(a=Script(conduct=Hanger()))
    assert opening_of(await sent(quick.service, path, stream=True), path)
    options = GatewayOptions(keep_alive_seconds=0.01)
    response = await sent(slow.service, path, options, stream=True, waggle={"budget_seconds": 0.5})
    assert opening_of(response, path)
    assert "proposals 0 of 1" in response.text
    await slow.service.close()


async def test_a_round_in_which_nobody_proposes_for_long_is_opened_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "HELD_SECONDS", 0.1)
    play = await make_play(a=Script(conduct=Hanger()))
    options = GatewayOptions(keep_alive_seconds=30.0)
    response = await sent(play.service, CHAT, options, stream=True, waggle={"budget_seconds": 3.0})
    assert response.status_code == 200  # long before its sign of life was due
    assert '"code":"timeout"' in response.text
    await play.service.close()
