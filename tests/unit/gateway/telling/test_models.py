"""The models on offer, as the real client lists them."""

import openai
import pytest
from openai.types import Model

from waggle.core.ids import NodeId
from waggle.gateway.telling.models import entries_of
from waggle.node.services.service import ServedModel


@pytest.fixture
def client(openai_client: openai.AsyncOpenAI) -> openai.AsyncOpenAI:
    return openai_client


async def test_the_swarm_its_ways_and_every_model_alone_are_on_offer(client: openai.AsyncOpenAI) -> None:
    listed = await client.models.list()
    names = [model.id async for model in listed]
    assert names == ["swarm", "swarm/committee", "swarm/vote", "swarm/best", "solo/ant", "solo/bee", "solo/cat"]


async def test_every_model_listed_can_be_looked_up(client: openai.AsyncOpenAI) -> None:
    for listed in (await client.models.list()).data:
        found = await client.models.with_raw_response.retrieve(listed.id)
        assert Model.model_validate_json(found.text) == listed


async def test_a_model_alone_says_where_it_is_and_what_it_can(client: openai.AsyncOpenAI) -> None:
    model = await client.models.retrieve("solo/bee")
    assert model.model_extra is not None
    facts = model.model_extra["waggle"]
    assert facts["nodes"] == ["bee"]
    assert (facts["family"], facts["context_tokens"], facts["skills"]) == ("scripted", 4096, {"": 1.0})


@pytest.mark.parametrize("name", ["gpt-4o", "ant", "solo/", "solo/none", "swarm/", "swarm/none", "SWARM", "solo/ant/x"])
async def test_an_unknown_model_is_not_found(client: openai.AsyncOpenAI, name: str) -> None:
    with pytest.raises(openai.NotFoundError) as failed:
        await client.models.retrieve(name)
    assert failed.value.code == "model_not_found"
    assert failed.value.body == {
        "message": f"the model {name!r} does not exist: GET /v1/models lists those that do",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


def test_a_swarm_holds_as_much_as_its_largest_model_and_has_everybody_s_nodes() -> None:
    here, there = NodeId("here"), NodeId("there")
    models = [
        ServedModel(name="a", context_tokens=100, nodes=(there, here)),
        ServedModel(name="b", context_tokens=50, nodes=(here,)),
        ServedModel(name="c", context_tokens=0),
    ]
    swarm = next(entries_of(models)).waggle
    assert (swarm.context_tokens, swarm.nodes) == (100, ["here", "there"])


def test_a_swarm_of_nobody_is_still_listed() -> None:
    assert [entry.id for entry in entries_of([])] == ["swarm", "swarm/committee", "swarm/vote", "swarm/best"]
