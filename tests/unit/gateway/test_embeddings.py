"""Embeddings: the client's own types, both encodings, and nothing unusable given out."""

import base64
import math
import struct
from collections.abc import Sequence

import httpx
import openai
import pytest
from fastapi import FastAPI
from msgspec.structs import replace
from openai.types import CreateEmbeddingResponse

from tests.unit.gateway.conftest import caller
from waggle.core.engine_values import EngineCard
from waggle.core.errors import EngineRefused, EngineUnavailable, TooLong
from waggle.core.ids import NodeId
from waggle.engines.script import Script
from waggle.engines.scripted import EMBEDDING_LENGTH, ScriptedEngine
from waggle.gateway.app import make_app
from waggle.gateway.embeddings import check_vectors, chosen_model
from waggle.gateway.errors import ApiError
from waggle.gateway.options import GatewayOptions
from waggle.node.rounds.swarm import Swarm
from waggle.node.services.local import make_local_service
from waggle.node.services.service import ServedModel


@pytest.fixture
def client(openai_client: openai.AsyncOpenAI) -> openai.AsyncOpenAI:
    return openai_client


async def post(app: FastAPI, headers: dict[str, str] | None = None, /, **body: object) -> httpx.Response:
    """One request straight to the application."""
    async with caller(app) as client:
        return await client.post("/v1/embeddings", json={"model": "ant"} | body, headers=headers)


@pytest.mark.parametrize("name", ["solo/ant", "ant"])
async def test_texts_become_vectors_of_length_one(client: openai.AsyncOpenAI, name: str) -> None:
    response = await client.embeddings.with_raw_response.create(
        model=name, input=["a bee", "a hive"], encoding_format="float"
    )
    made = CreateEmbeddingResponse.model_validate_json(response.text)
    assert made.model == name
    assert [one.index for one in made.data] == [0, 1]
    assert all(math.isclose(math.hypot(*one.embedding), 1.0, rel_tol=1e-6) for one in made.data)
    assert made.usage.prompt_tokens == made.usage.total_tokens == 4


async def test_base64_says_the_same_as_numbers(app: FastAPI) -> None:
    plain = (await post(app, input="a bee")).json()["data"][0]["embedding"]
    coded = (await post(app, input="a bee", encoding_format="base64")).json()["data"][0]["embedding"]
    read = struct.unpack(f"<{EMBEDDING_LENGTH}f", base64.b64decode(coded))
    assert read == pytest.approx(plain, rel=1e-6)


async def test_the_client_that_asks_for_base64_by_itself_gets_numbers(client: openai.AsyncOpenAI) -> None:
    made = await client.embeddings.create(model="solo/ant", input="a bee")
    assert len(made.data[0].embedding) == EMBEDDING_LENGTH
    assert all(isinstance(number, float) for number in made.data[0].embedding)


async def test_texts_that_share_words_are_near_each_other(client: openai.AsyncOpenAI) -> None:
    made = await client.embeddings.create(model="ant", input=["red bees fly", "red bees sleep", "old stone wall"])
    first, second, third = (one.embedding for one in made.data)
    assert sum(a * b for a, b in zip(first, second, strict=True)) > sum(
        a * b for a, b in zip(first, third, strict=True)
    )


async def test_dimensions_are_taken_only_where_they_change_nothing(app: FastAPI) -> None:
    assert (await post(app, input="a", dimensions=EMBEDDING_LENGTH)).status_code == 200
    refused = await post(app, input="a", dimensions=8)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "dimensions"


@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]]])
async def test_token_numbers_are_refused_with_a_reason(app: FastAPI, tokens: object) -> None:
    refused = await post(app, input=tokens)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "input"
    assert "tokenizer" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"input": ""},
        {"input": []},
        {"input": ["a", ""]},
        {"input": ["a", 1]},
        {"input": ["a"] * 2_049},
        {"input": "a" * 70_000},
        {"input": {"a": 1}},
        {"input": None},
        {},
        {"input": "a", "encoding_format": "int8"},
        {"input": "a", "dimensions": 0},
        {"input": "a", "task": "search"},
    ],
)
async def test_what_cannot_be_embedded_is_a_clear_refusal(app: FastAPI, body: dict[str, object]) -> None:
    refused = await post(app, **body)
    assert refused.status_code == 400
    assert refused.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [("swarm", 400, "invalid_value"), ("swarm/vote", 400, "invalid_value"), ("solo/none", 404, "model_not_found")],
)
async def test_a_swarm_and_a_stranger_have_no_embeddings(app: FastAPI, name: str, status: int, code: str) -> None:
    refused = await post(app, model=name, input="a")
    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)


def test_a_model_without_embeddings_says_so() -> None:
    with pytest.raises(ApiError, match="no embeddings"):
        chosen_model("solo/a", [ServedModel(name="a", embeds=False)])


@pytest.mark.parametrize(
    "vectors",
    [
        [],
        [[0.1]],
        [[0.1], [0.1, 0.2]],
        [[], []],
        [[0.1], [float("nan")]],
        [[0.1], [float("inf")]],
        [[0.1], [1e30]],
    ],
)
def test_vectors_of_a_node_that_cannot_be_used_are_not_given_out(vectors: Sequence[Sequence[float]]) -> None:
    with pytest.raises(ApiError) as failed:
        check_vectors(vectors, 2, None)
    assert failed.value.status == 503


async def app_of(**engines: ScriptedEngine) -> FastAPI:
    """A gateway to these engines."""
    named = {NodeId(name): engine for name, engine in engines.items()}
    return make_app(await make_local_service(Swarm(named)), GatewayOptions())


class Failing(ScriptedEngine):
    """Has no embeddings to give, and says where it lives."""

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        raise EngineUnavailable("http://10.0.0.7:11434 said no to /home/ada")


class Short(ScriptedEngine):
    """Embeds words, and no sentences."""

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        if any(" " in text for text in texts):
            raise TooLong("http://10.0.0.7 says: a text takes 900 tokens, the model's context has 4096")
        raise EngineRefused("http://10.0.0.7 says: no")


async def test_a_text_that_is_too_long_for_the_model_is_refused_and_not_cut() -> None:
    app = await app_of(ant=Short(Script(name="ant"), {}))
    refused = await post(app, model="solo/ant", input=["a", "a very long text"])
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (400, "context_length_exceeded", "input")
    assert "4096 tokens" in error["message"]
    other = await post(app, model="solo/ant", input="a")
    assert (other.status_code, other.json()["error"]["code"]) == (422, "refused")
    assert "10.0.0.7" not in refused.text + other.text


class Mute(ScriptedEngine):
    """Says of itself that it has no embeddings."""

    async def describe(self) -> EngineCard:
        return replace(await super().describe(), embeds=False)


async def test_a_model_is_listed_as_embedding_only_where_its_engine_does() -> None:
    app = await app_of(ant=ScriptedEngine(Script(name="ant"), {}), mute=Mute(Script(name="mute"), {}))
    async with caller(app) as client:
        listed = {entry["id"]: entry["waggle"]["embeds"] for entry in (await client.get("/v1/models")).json()["data"]}
    assert (listed["solo/ant"], listed["solo/mute"]) == (True, False)
    refused = await post(app, model="solo/mute", input="a")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "model")


@pytest.mark.parametrize("name", ["X-Waggle-Judges", "X-Waggle-Budget-Tokens", "X-Waggle-Min-Confidence"])
async def test_what_only_rounds_understand_is_refused_by_header(app: FastAPI, name: str) -> None:
    for header, code in ((name, "unsupported_parameter"), ("X-Waggle-Colour", "unknown_parameter")):
        refused = await post(app, {header: "1"}, input="a")
        error = refused.json()["error"]
        assert (refused.status_code, error["code"], error["param"]) == (400, code, header)


async def test_a_node_that_fails_is_an_error_that_names_nothing() -> None:
    refused = await post(await app_of(ant=Failing(Script(name="ant"), {})), input="a")
    assert refused.status_code == 503
    assert "10.0.0.7" not in refused.text
    assert "ada" not in refused.text
