"""Servers of models that die behind a gateway: what a client of the gateway sees of it. Real sockets on both sides."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import openai
import pytest

from tests.unit.gateway.asking import CHAT, USER, body_of
from tests.unit.gateway.conftest import PATIENCE, QUESTION, Serve, client_of, until
from waggle.core.asking import AskOptions
from waggle.core.engine_values import GenerateRequest
from waggle.core.ids import NodeId
from waggle.engines.openai.bounded_http import HttpBounds
from waggle.engines.openai.engine import OpenAIHttpEngine
from waggle.engines.openai.settings import ServerSettings
from waggle.engines.openai.wire import ChatAsk
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.gateway.app import make_app
from waggle.gateway.errors import ApiError
from waggle.gateway.jobs.answering import Answerer
from waggle.gateway.jobs.values import ForModel, ForSwarm, Job
from waggle.gateway.options import GatewayOptions
from waggle.node.rounds.swarm import Swarm
from waggle.node.services.local import LocalService, make_local_service
from waggle.testing.openai_server import Fault, OpenAIServer, serve_openai

TEXT = "I thought about it for a while, and then I knew it.\nAnswer: 42"
BOUNDS = HttpBounds(retries=1, backoff_s=0.01, connect_s=15.0)
ASKED = body_of(model="solo/big")
JOBS: list[Job] = [
    ForSwarm(QUESTION, AskOptions(strategy="vote")),
    ForModel("big", GenerateRequest(question=QUESTION), 60.0),
]


@dataclass
class Stage:
    """A gateway over servers that each can be ended as by kill -9."""

    client: openai.AsyncOpenAI
    http: httpx.AsyncClient
    service: LocalService
    servers: list[OpenAIServer]
    _ends: list[AsyncExitStack]

    async def kill(self, number: int) -> None:
        await self._ends[number].aclose()

    async def text(self) -> str:
        made = await self.client.chat.completions.create(model="solo/big", messages=[USER])
        return made.choices[0].message.content or ""

    async def look(self) -> None:
        """What the service does from time to time."""
        await asyncio.gather(*(engine.look() for engine in self.service._watch.engines.values()))


@asynccontextmanager
async def stage(serve: Serve, names: list[str], *, seconds_per_token: float = 0.0) -> AsyncIterator[Stage]:
    """As many servers as there are names, all of the model "big", behind one gateway."""
    async with AsyncExitStack() as stack:
        servers, ends, engines = [], [], {}
        for name in names:
            end = await stack.enter_async_context(AsyncExitStack())
            server = await end.enter_async_context(serve_openai(lambda prompt: TEXT))
            server.seconds_per_token, server.model = seconds_per_token, "big"
            settings = ServerSettings(base_url=server.base_url, model="big", answer_marker="Answer:", bounds=BOUNDS)
            engines[NodeId(name)] = OpenAIHttpEngine(settings)
            servers.append(server)
            ends.append(end)
        service = await make_local_service(Swarm(engines))
        stack.push_async_callback(service.close)
        url = await stack.enter_async_context(serve(make_app(service, GatewayOptions())))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=PATIENCE))
        client = await stack.enter_async_context(client_of(url))
        yield Stage(client, http, service, servers, ends)


def writer(servers: list[OpenAIServer]) -> int:
    """The server that has been asked to write."""
    [found] = [n for n, server in enumerate(servers) if any(each.path.endswith("completions") for each in server.asked)]
    return found


def stops_behind(server: OpenAIServer, count: int) -> list[str]:
    """Have it write so many tokens and then no more; gives the list of those that it has written."""
    told, choice = list[str](), server._choice

    def noted(token: str, ask: ChatAsk) -> dict[str, object]:
        told.append(token)
        if len(told) == count:
            server.seconds_per_token = 600.0
        return choice(token, ask)

    server._choice = noted  # type: ignore[method-assign]
    return told


async def test_a_stream_goes_on_where_the_server_that_writes_it_dies(serve: Serve) -> None:
    async with stage(serve, ["big", "big-2"], seconds_per_token=0.02) as play:
        stream = await play.client.chat.completions.create(model="solo/big", messages=[USER], stream=True)
        text, finish, chunks = "", None, 0
        async for chunk in stream:
            if not chunk.choices:
                continue
            text += chunk.choices[0].delta.content or ""
            finish = chunk.choices[0].finish_reason or finish
            chunks += bool(chunk.choices[0].delta.content)
            if chunks == 4:
                await play.kill(writer(play.servers))
                chunks += 1
        assert (text, finish) == (TEXT, "stop")


async def test_what_a_server_had_written_before_it_died_is_in_the_usage(serve: Serve) -> None:
    async with stage(serve, ["big", "big-2"]) as play:
        play.servers[0].faults.append(Fault.DISCONNECT)  # behind two words
        made = (await play.http.post(CHAT, json=ASKED)).json()
        whole = (await play.http.post(CHAT, json=ASKED)).json()
        assert made["choices"][0]["message"]["content"] == whole["choices"][0]["message"]["content"] == TEXT
        assert whole["waggle"]["spent"]["wasted_tokens"] == 0
        read = len(QUESTION) // 4  # what that server never got to count
        assert made["usage"]["prompt_tokens"] == whole["usage"]["prompt_tokens"] + read
        assert made["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"] + 2
        assert made["waggle"]["spent"]["wasted_tokens"] == read + 2


@pytest.mark.parametrize("job", JOBS)
async def test_what_came_to_nothing_is_charged(serve: Serve, job: Job) -> None:
    charged: list[int] = []
    async with stage(serve, ["big", "big-2"]) as play:
        for server in play.servers:
            server.faults.append(Fault.DISCONNECT)
        with pytest.raises(ApiError) as caught:
            await Answerer(play.service, charge=charged.append).answer(job, "ab" * 16)
        assert caught.value.status == 503
        assert charged == [2 * (len(QUESTION) // 4 + 2)]


@pytest.mark.parametrize("job", JOBS)
async def test_what_was_used_for_a_client_that_went_away_is_charged(serve: Serve, job: Job) -> None:
    charged: list[int] = []
    async with stage(serve, ["big"], seconds_per_token=0.05) as play:
        told = stops_behind(play.servers[0], 4)
        asking = asyncio.create_task(Answerer(play.service, charge=charged.append).answer(job, "ab" * 16))
        await until(lambda: len(told) == 4)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert len(charged) == 1
        assert len(QUESTION) // 4 < charged[0] <= len(QUESTION) // 4 + 4


async def test_a_server_that_is_dead_before_is_passed_over(serve: Serve) -> None:
    async with stage(serve, ["big", "big-2"]) as play:
        await play.kill(0)
        assert [await play.text() for _ in range(3)] == [TEXT] * 3
        await play.look()
        assert await play.text() == TEXT
        [entry] = [entry for entry in (await play.http.get("/v1/models")).json()["data"] if entry["id"] == "solo/big"]
        assert entry["waggle"]["nodes"] == ["big-2"]
        assert entry["waggle"]["down"]["big"].startswith("its server cannot be reached")
        assert (await play.http.get("/health/ready")).status_code == 200


async def test_a_gateway_whose_servers_are_all_dead_is_not_ready_and_says_why(serve: Serve) -> None:
    async with stage(serve, ["big", "big-2"]) as play:
        assert (await play.http.get("/health/ready")).status_code == 200
        await play.kill(0)
        await play.kill(1)
        assert (await play.http.post(CHAT, json=ASKED)).status_code == 503
        await play.look()
        assert (await play.http.get("/health/ready")).status_code == 503
        entries = {entry["id"]: entry["waggle"] for entry in (await play.http.get("/v1/models")).json()["data"]}
        assert entries["swarm"]["nodes"] == entries["solo/big"]["nodes"] == []
        assert set(entries["solo/big"]["down"]) == {"big", "big-2"}
        assert "127.0.0.1" not in str(entries)
        told = (await play.http.get("/metrics")).text
        assert "waggle_models 0.0" in told
        assert "waggle_models_down 1.0" in told


@pytest.mark.parametrize("model", ["swarm", "solo/big"])
async def test_a_server_is_told_the_request_s_id_and_not_the_client_s_headers(serve: Serve, model: str) -> None:
    async with stage(serve, ["big"]) as play:
        name = "ab" * 16
        await play.http.post(CHAT, json=ASKED | {"model": model}, headers={"X-Request-Id": name, "X-Secret": "cd"})
        asked = [each for each in play.servers[0].asked if each.path.endswith("completions")]
        assert {each.headers["x-request-id"] for each in asked} == {name}
        assert all("cd" not in each.headers.values() for each in asked)


async def test_tools_are_for_a_server_that_calls_them_past_a_model_that_does_not(serve: Serve) -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    async with serve_openai() as server:
        server.tool, server.model = "weather", "big"
        big = OpenAIHttpEngine(ServerSettings(base_url=server.base_url, model="big", bounds=BOUNDS))
        sage = ScriptedEngine(Script(name="sage", skill=1.0), {QUESTION: "42"})  # measured, and calls no tools
        service = await make_local_service(Swarm({NodeId("sage"): sage, NodeId("big"): big}))
        asked = ASKED | {"model": "swarm", "tools": [tool], "tool_choice": "required"}
        async with (
            serve(make_app(service, GatewayOptions())) as url,
            httpx.AsyncClient(base_url=url, timeout=PATIENCE) as http,
        ):
            made = (await http.post(CHAT, json=asked)).json()
            assert made["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "weather"
            refused = await http.post(CHAT, json=asked | {"model": "solo/sage"})
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, "tools")
            capable = {e["id"]: e["waggle"]["calls_tools"] for e in (await http.get("/v1/models")).json()["data"]}
            assert (capable["solo/sage"], capable["solo/big"], capable["swarm"]) == (False, True, True)
        await service.close()
