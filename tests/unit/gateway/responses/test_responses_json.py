"""Responses that have to be JSON: asked for again until they fit, and never given out before."""

import openai
import pytest
from openai.types.responses import ResponseTextConfigParam

from tests.unit.gateway.conftest import Serve
from tests.unit.gateway.told import Told, events_of, told_by
from waggle.core.chat_values import Role

AGE: ResponseTextConfigParam = {
    "format": {"type": "json_schema", "name": "age", "schema": {"type": "object", "required": ["age"]}}
}


@pytest.mark.parametrize("model", ["swarm", "solo/told"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_an_answer_is_asked_for_again_until_it_fits(serve: Serve, model: str, streamed: bool) -> None:
    engine = Told("young", "{}", '```json\n{"age": 3}\n```')
    async with told_by(serve, engine, min_confidence=0.0) as client:
        if streamed:
            events = await events_of(client, model=model, input="How old?", text=AGE)
            assert "young" not in str([event for event in events if event.type == "response.output_text.delta"])
            last = events[-1]
            assert last.type == "response.completed"
            made = last.response
        else:
            made = await client.responses.create(model=model, input="How old?", text=AGE)
    assert made.output_text == '{"age": 3}'
    assert made.model_extra is not None
    assert made.usage is not None
    assert made.model_extra["waggle"]["tries"] == 3
    assert made.usage.output_tokens == len("young") + len("{}") + len(engine.texts[-1])
    assert all(request.turns[0].role is Role.SYSTEM for request in engine.requests)
    assert len({request.sampling.seed for request in engine.requests}) == 3 or model == "swarm"


async def test_an_answer_that_never_fits_is_an_error(serve: Serve) -> None:
    engine = Told("young")
    async with told_by(serve, engine) as client:
        for stream in (False, True):
            with pytest.raises(openai.UnprocessableEntityError) as failed:
                await client.responses.create(model="solo/told", input="How old?", text=AGE, stream=stream)
            assert failed.value.code == "json_invalid"
            assert "young" not in failed.value.response.text


async def test_tries_end_where_the_budget_of_tokens_does(serve: Serve) -> None:
    engine = Told("young")
    engine.prompt_tokens = 1_990
    async with told_by(serve, engine) as client:
        with pytest.raises(openai.UnprocessableEntityError, match="in 1 try:"):
            await client.responses.create(
                model="solo/told", input="How old?", text=AGE, extra_body={"waggle": {"budget_tokens": 2_000}}
            )
