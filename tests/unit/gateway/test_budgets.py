"""What the gateway itself grants a question: seconds where the request says nothing, tokens also where it says more."""

import pytest

from tests.unit.gateway.conftest import QUESTION, bees, caller, make_play
from waggle.core.asking import AskOptions
from waggle.core.round_values import Budget, Record
from waggle.gateway.app import make_app
from waggle.gateway.options import GatewayOptions
from waggle.strategies.machine import Watch

OPTIONS = GatewayOptions(budget_seconds=7.0, budget_tokens=4_000)
"""Enough for an answer of the bees."""


async def budget_of(options: GatewayOptions, **extension: object) -> Budget:
    """What a question with this extension is asked with."""
    play = await make_play(**bees())
    seen: list[Budget] = []
    ask = play.service.ask

    async def noting(
        question: str, options: AskOptions, watch: Watch | None = None, request: str | None = None
    ) -> Record:
        seen.append(options.budget)
        return await ask(question, options, watch, request)

    play.service.ask = noting  # type: ignore[method-assign]
    body = {"model": "swarm", "messages": [{"role": "user", "content": QUESTION}], "waggle": extension}
    async with caller(make_app(play.service, options)) as client:
        response = await client.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    return seen[0]


async def test_without_a_word_the_gateways_own_budget_holds() -> None:
    assert await budget_of(OPTIONS) == Budget(tokens=4_000, seconds=7.0)


@pytest.mark.parametrize(("asked", "granted"), [(3_000, 3_000), (5_000, 4_000)])
async def test_nobody_is_given_more_tokens_than_the_gateway_grants(asked: int, granted: int) -> None:
    assert (await budget_of(OPTIONS, budget_tokens=asked)).tokens == granted


async def test_a_request_may_take_another_time_up_to_the_gateways_limit() -> None:
    assert (await budget_of(OPTIONS, budget_seconds=9)).seconds == 9.0
    assert (await budget_of(OPTIONS, budget_seconds=900)).seconds == OPTIONS.request_seconds


async def test_without_a_ceiling_tokens_are_what_the_request_says() -> None:
    assert (await budget_of(GatewayOptions())).tokens is None
    assert (await budget_of(GatewayOptions(), budget_tokens=5_000)).tokens == 5_000
