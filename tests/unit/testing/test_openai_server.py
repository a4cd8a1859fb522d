"""The fake OpenAI-compatible server speaks to a plain HTTP client and misbehaves only when told to."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import msgspec
import pytest

from waggle.testing.openai_server import Fault, OpenAIServer, serve_openai

pytestmark = pytest.mark.network

ASK = {"model": "m", "messages": [{"role": "user", "content": "one two three"}], "max_tokens": 3}


def play(scene: Callable[[OpenAIServer, httpx.AsyncClient], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with (
            serve_openai(lambda prompt: f"You said {prompt}") as server,
            httpx.AsyncClient(base_url=server.base_url, timeout=30, trust_env=False) as client,
        ):
            await scene(server, client)

    asyncio.run(whole())


def test_a_chat_is_answered_whole_with_counts() -> None:
    async def scene(server: OpenAIServer, client: httpx.AsyncClient) -> None:
        body = (await client.post("/chat/completions", json=ASK)).json()
        assert body["choices"][0]["message"]["content"] == "You said one"
        assert body["choices"][0]["finish_reason"] == "length"
        assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 3}
        assert server.asked[0].chat().max_tokens == 3

    play(scene)


def test_a_chat_is_streamed_token_by_token_to_a_done() -> None:
    async def scene(server: OpenAIServer, client: httpx.AsyncClient) -> None:
        ask = ASK | {"stream": True, "logprobs": True, "stream_options": {"include_usage": True}}
        async with client.stream("POST", "/chat/completions", json=ask) as response:
            lines = [line async for line in response.aiter_lines() if line.startswith("data: ")]
        assert lines[-1] == "data: [DONE]"
        events = [msgspec.json.decode(line.removeprefix("data: ")) for line in lines[:-1]]
        choices = [event["choices"][0] for event in events if event["choices"]]
        assert "".join(choice["delta"].get("content", "") for choice in choices) == "You said one"
        assert choices[0]["logprobs"]["content"][0]["token"] == "You"
        assert choices[-1]["finish_reason"] == "length"
        assert events[-1]["usage"]["completion_tokens"] == 3

    play(scene)


def test_models_and_embeddings_are_served_and_other_paths_are_not() -> None:
    async def scene(server: OpenAIServer, client: httpx.AsyncClient) -> None:
        assert (await client.get("/models")).json()["data"][0]["max_model_len"] == 2_048
        body = (await client.post("/embeddings", json={"model": "m", "input": ["a", "bc"]})).json()
        assert [item["index"] for item in body["data"]] == [1, 0]
        server.embeddings = False
        assert (await client.post("/embeddings", json={"model": "m", "input": ["a"]})).status_code == 404
        assert (await client.get("/secrets")).status_code == 404

    play(scene)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault.TOO_MANY, 429),
        (Fault.SERVER_ERROR, 500),
        (Fault.BAD_REQUEST, 400),
        (Fault.UNAUTHORIZED, 401),
        (Fault.REDIRECT, 307),
        (Fault.GARBAGE, 200),
        (Fault.WRONG_SHAPE, 200),
    ],
)
def test_a_fault_spoils_one_request(fault: Fault, status: int) -> None:
    async def scene(server: OpenAIServer, client: httpx.AsyncClient) -> None:
        server.faults.append(fault)
        server.retry_after = "7"
        spoilt, good = (
            await client.post("/chat/completions", json=ASK),
            await client.post("/chat/completions", json=ASK),
        )
        assert (spoilt.status_code, good.status_code) == (status, 200)
        assert spoilt.headers.get("retry-after") == ("7" if fault is Fault.TOO_MANY else None)
        assert "You said" not in spoilt.text

    play(scene)


def test_a_hang_lasts_until_the_client_leaves_and_is_counted() -> None:
    async def scene(server: OpenAIServer, client: httpx.AsyncClient) -> None:
        server.faults.append(Fault.HANG)
        asking = asyncio.create_task(client.post("/chat/completions", json=ASK))
        await server.until(lambda: len(server.asked) == 1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await server.until(lambda: server.busy == 0)
        assert server.abandoned == 1

    play(scene)


def test_a_disconnect_leaves_the_stream_without_its_end() -> None:
    async def scene(server: OpenAIServer, client: httpx.AsyncClient) -> None:
        server.faults.append(Fault.DISCONNECT)
        text = (await client.post("/chat/completions", json=ASK | {"stream": True})).text
        assert text.count("data: ") == 2
        assert "[DONE]" not in text

    play(scene)


def test_a_hang_does_not_outlive_the_server() -> None:
    async def scene(server: OpenAIServer, client: httpx.AsyncClient) -> None:
        server.faults.append(Fault.HANG)
        task = asyncio.create_task(client.post("/chat/completions", json=ASK))
        await server.until(lambda: len(server.asked) == 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    play(scene)


def test_a_bug_in_the_scripted_reply_is_not_hidden() -> None:
    def broken(prompt: str) -> str:
        raise ZeroDivisionError(prompt)

    async def scene() -> None:
        async with serve_openai(broken) as server, httpx.AsyncClient(trust_env=False, timeout=30) as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.post(f"{server.base_url}/chat/completions", json=ASK)

    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        asyncio.run(scene())
