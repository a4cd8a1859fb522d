"""What the gateway itself grants a question: seconds where the request says nothing, tokens also where it says more."""

import pytest

from tests.unit.gateway.asking import CHAT, sent
from tests.unit.gateway.conftest import bees, make_play
from waggle.core.asking import AskOptions
from waggle.core.round_values import Budget, Record
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
    response = await sent(play.service, CHAT, options, waggle=extension)
    assert response.status_code == 200, response.text
    return seen[0]


@pytest.mark.parametrize(
    ("options", "asked", "granted"),
    [
        (OPTIONS, {}, Budget(tokens=4_000, seconds=7.0)),
        (OPTIONS, {"budget_tokens": 3_000}, Budget(tokens=3_000, seconds=7.0)),
        (OPTIONS, {"budget_tokens": 5_000}, Budget(tokens=4_000, seconds=7.0)),
        (OPTIONS, {"budget_seconds": 9}, Budget(tokens=4_000, seconds=9.0)),
        (OPTIONS, {"budget_seconds": 900}, Budget(tokens=4_000, seconds=OPTIONS.request_seconds)),
        (GatewayOptions(), {}, Budget(tokens=None, seconds=60.0)),
        (GatewayOptions(), {"budget_tokens": 5_000}, Budget(tokens=5_000, seconds=60.0)),
    ],
)
async def test_a_request_may_have_less_tokens_or_another_time_than_the_gateway_grants_and_no_more(
    options: GatewayOptions, asked: dict[str, object], granted: Budget
) -> None:
    assert await budget_of(options, **asked) == granted
