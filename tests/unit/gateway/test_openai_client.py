"""The real `openai` client against a real server: what it sends is understood, what comes back is of its own types."""

import asyncio

import openai
import pytest
from fastapi import FastAPI
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam

from tests.unit.gateway.conftest import ANSWER, PATIENCE, QUESTION, Serve, client_of

ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": QUESTION}]


async def test_an_async_client_gets_the_swarm_s_answer(app: FastAPI, serve: Serve) -> None:
    async with serve(app) as url, client_of(url) as client:
        response = await client.chat.completions.with_raw_response.create(model="swarm", messages=ASKED)
        made = response.parse()
    checked = ChatCompletion.model_validate_json(response.text)
    assert made.choices[0].message.content == checked.choices[0].message.content == ANSWER
    assert made.choices[0].finish_reason == "stop"
    assert made.id == f"chatcmpl-{response.headers['x-request-id']}"
    assert checked.model_extra is not None
    assert checked.model_extra["waggle"]["round_id"] == response.headers["x-request-id"]


async def test_a_sync_client_gets_the_same(app: FastAPI, serve: Serve) -> None:
    def ask(url: str) -> tuple[str | None, str]:
        with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=PATIENCE) as client:
            made = client.chat.completions.create(model="swarm/vote", messages=ASKED)
            return made.choices[0].message.content, client.responses.create(model="swarm", input=QUESTION).output_text

    async with serve(app) as url:
        assert await asyncio.to_thread(ask, url) == (ANSWER, ANSWER)


@pytest.mark.parametrize("model", ["swarm", "solo/bee"])
async def test_a_stream_adds_up_to_the_answer(app: FastAPI, serve: Serve, model: str) -> None:
    async with serve(app) as url, client_of(url) as client:
        whole = await client.chat.completions.create(model=model, messages=ASKED)
        stream = await client.chat.completions.create(
            model=model, messages=ASKED, stream=True, stream_options={"include_usage": True}
        )
        chunks = [ChatCompletionChunk.model_validate(chunk.model_dump()) async for chunk in stream]
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert choices[0].delta.role == "assistant"
    assert "".join(choice.delta.content or "" for choice in choices) == whole.choices[0].message.content
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage


async def test_the_client_s_own_stream_helper_works(app: FastAPI, serve: Serve) -> None:
    async with (
        serve(app) as url,
        client_of(url) as client,
        client.chat.completions.stream(model="solo/ant", messages=ASKED) as stream,
    ):
        kinds = [event.type async for event in stream]
        final = await stream.get_final_completion()
    assert kinds.count("content.done") == 1
    assert ANSWER in (final.choices[0].message.content or "")


async def test_drafts_do_not_disturb_a_client_that_asks_for_them(app: FastAPI, serve: Serve) -> None:
    async with serve(app) as url, client_of(url) as client:
        stream = await client.chat.completions.create(
            model="swarm", messages=ASKED, stream=True, extra_body={"waggle": {"stream": "draft"}}
        )
        said = [choice.delta.content or "" async for chunk in stream for choice in chunk.choices]
    assert "".join(said) == ANSWER


@pytest.mark.parametrize("model", ["swarm", "solo/bee"])
async def test_legacy_completions_whole_and_streamed(app: FastAPI, serve: Serve, model: str) -> None:
    async with serve(app) as url, client_of(url) as client:
        whole = await client.completions.create(model=model, prompt=[QUESTION, "What is 2 + 3?"], n=2)
        stream = await client.completions.create(model=model, prompt=QUESTION, stream=True)
        chunks = [chunk async for chunk in stream]  # OpenAI, too, sends null for a reason until there is one
    Completion.model_validate(chunks[-1].model_dump())
    Completion.model_validate(whole.model_dump())
    texts = [choice.text.split()[-1] for choice in whole.choices]
    assert texts == [ANSWER, ANSWER, "5", "5"]
    assert [choice.index for choice in whole.choices] == [0, 1, 2, 3]
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == whole.choices[0].text


async def test_errors_are_of_the_client_s_kinds(app: FastAPI, serve: Serve) -> None:
    async with serve(app) as url, client_of(url) as client:
        with pytest.raises(openai.NotFoundError) as unknown:
            await client.chat.completions.create(model="gpt-4", messages=ASKED)
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(model="swarm", messages=ASKED, logit_bias={"1": 2})
        with pytest.raises(openai.BadRequestError) as streamed:
            await client.chat.completions.create(model="swarm", messages=[], stream=True)
    assert unknown.value.code == "model_not_found"
    assert refused.value.param == "logit_bias"
    assert streamed.value.param == "messages"
