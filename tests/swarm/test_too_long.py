"""What is longer than a model's context is known as such after it has crossed a network."""

from collections.abc import AsyncGenerator, Sequence

import pytest

from tests.swarm.solo_crowd import ASKED, SLOW, collected, solo_crowd
from tests.virtual import in_virtual_time
from waggle.core.asking import AskOptions
from waggle.core.engine_values import GenerateRequest, StreamedToken
from waggle.core.errors import TooLong
from waggle.core.failures import Cause
from waggle.engines.scripted import ScriptedEngine

REASON = "the question takes 900 tokens, the model's context has 256"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines with very little room."""

    async def stream(self: ScriptedEngine, request: GenerateRequest) -> AsyncGenerator[StreamedToken, None]:
        raise TooLong(REASON)
        yield StreamedToken(text="")

    async def embed(self: ScriptedEngine, texts: Sequence[str]) -> list[list[float]]:
        raise TooLong(REASON)

    monkeypatch.setattr(ScriptedEngine, "stream", stream)
    monkeypatch.setattr(ScriptedEngine, "embed", embed)


@in_virtual_time
async def test_a_peer_that_cannot_hold_a_question_says_so_to_whoever_wants_its_model() -> None:
    async with solo_crowd([None, SLOW]) as (_, service):
        with pytest.raises(TooLong, match="context has"):
            await collected(service.generate("bee", ASKED, 60.0))
        with pytest.raises(TooLong, match="context has"):
            await service.embed("bee", ["word " * 900], 60.0)


@in_virtual_time
async def test_the_record_of_a_round_says_that_nobody_could_hold_the_question() -> None:
    async with solo_crowd([SLOW, SLOW]) as (_, service):
        record = await service.ask("What is 2 + 3?", AskOptions())
        assert record.outcome.answer is None
        assert len(record.outcome.failures) == 2
        assert all(failure.cause is Cause.TOO_LONG for failure in record.outcome.failures.values())
