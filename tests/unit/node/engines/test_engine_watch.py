"""Engines that go and come back: what is said of them meanwhile, and that nobody disturbs one at work."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from msgspec.structs import replace

from tests.virtual import in_virtual_time
from waggle.core.engine_values import EngineCard, GenerateRequest, StreamedToken
from waggle.core.errors import EngineRefused, EngineUnavailable
from waggle.engines.openai.bounded_http import HttpBounds
from waggle.engines.openai.engine import OpenAIHttpEngine
from waggle.engines.openai.settings import ServerSettings
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.engines.watch import LOOK_SECONDS, MOST_FAILURES, REST_SECONDS, EngineWatch
from waggle.testing.clock import VirtualClock

ASKED = GenerateRequest(question="What is 2 + 3?")
ADDRESS = "http://10.0.0.7:8000/v1"


class Frail(ScriptedEngine):
    """An engine whose description and work fail as told; counts how often it was asked what it is."""

    def __init__(self, name: str = "bee", *, seconds: float = 0.0) -> None:
        script = Script(name=name, seconds_per_token=seconds)
        super().__init__(script, {ASKED.question: "5"}, clock=VirtualClock())
        self.silent: Exception | None = None
        self.broken: Exception | None = None
        self.looks = 0

    async def describe(self) -> EngineCard:
        self.looks += 1
        if self.silent is not None:
            raise self.silent
        return replace(await super().describe(), context_tokens=77)

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamedToken, None]:
        if self.broken is not None:
            raise self.broken
        async for token in super().stream(request):
            yield token


DEAD = EngineUnavailable(f"{ADDRESS} cannot be reached: is the server running? (tried 4 times)")
NO_KEY = EngineRefused(f"{ADDRESS} refused the call (status 401): name the environment variable that holds its key")


@asynccontextmanager
async def watching(*engines: Frail) -> AsyncIterator[EngineWatch]:
    """A watch that has begun and keeps looking."""
    watch = EngineWatch({engine.script.name: engine for engine in engines})
    await watch.begin()
    looking = asyncio.create_task(watch.keep_looking())
    yield watch
    looking.cancel()


async def ask(watch: EngineWatch, name: str = "bee") -> None:
    with suppress(EngineUnavailable):
        await watch.engines[name].generate(ASKED)


@in_virtual_time
async def test_an_engine_that_cannot_be_reached_is_in_trouble_until_it_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bee = Frail()
    bee.silent = DEAD
    async with watching(bee, Frail("ant")) as watch:
        assert watch.usable() == ["ant"]
        assert "cannot be reached" in watch.engines["bee"].trouble
        await asyncio.sleep(LOOK_SECONDS + 1)
        assert watch.usable() == ["ant"]
        bee.silent = None
        await asyncio.sleep(LOOK_SECONDS + 1)
        assert watch.usable() == ["bee", "ant"]
        assert watch.changed.is_set()
        assert watch.card("bee").context_tokens == 77
    said = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert said == [(30, "an engine cannot be used now"), (30, "an engine can be used again")]


@pytest.mark.parametrize("text", [str(DEAD), "'/home/zoe/models/bee' is damaged", "cannot read /home/zoe/x: no room"])
@in_virtual_time
async def test_what_is_shown_of_trouble_names_no_address_and_no_path(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    bee = Frail()
    bee.silent = EngineUnavailable(text)
    watch = EngineWatch({"bee": bee})
    await watch.begin()
    trouble = watch.engines["bee"].trouble
    assert trouble
    told = trouble + "".join(str(record.__dict__.get("facts")) for record in caplog.records)
    assert not any(secret in told for secret in ("10.0.0.7", "8000", "home", "zoe"))


@in_virtual_time
async def test_engines_that_all_refuse_are_a_mistake_of_who_starts_them() -> None:
    bee, ant = Frail(), Frail("ant")
    bee.silent = ant.silent = NO_KEY
    with pytest.raises(EngineRefused, match="environment variable"):
        await EngineWatch({"bee": bee, "ant": ant}).begin()
    ant.silent = DEAD  # which may come back
    watch = EngineWatch({"bee": bee, "ant": ant})
    await watch.begin()
    assert watch.usable() == []


@in_virtual_time
async def test_an_engine_that_hangs_is_not_waited_for() -> None:
    class Hung(Frail):
        async def describe(self) -> EngineCard:
            await asyncio.Event().wait()
            raise AssertionError

    watch = EngineWatch({"bee": Hung(), "ant": Frail("ant")})
    await watch.begin()
    assert watch.usable() == ["ant"]
    assert asyncio.get_running_loop().time() < 15.0


@in_virtual_time
async def test_a_call_that_fails_is_looked_into_at_once() -> None:
    bee = Frail()
    async with watching(bee) as watch:
        await asyncio.sleep(0.1)
        bee.silent = bee.broken = DEAD
        await ask(watch)
        await asyncio.sleep(0.1)
        assert watch.usable() == []


@in_virtual_time
async def test_an_engine_that_says_what_it_is_and_fails_at_all_else_is_left_alone_for_a_while() -> None:
    bee = Frail()
    bee.broken = DEAD
    async with watching(bee) as watch:
        for _ in range(MOST_FAILURES):
            assert watch.usable() == ["bee"]
            await asyncio.gather(ask(watch), ask(watch), ask(watch))  # of one moment: they count once
            await asyncio.sleep(2)
        assert watch.usable() == []
        await asyncio.sleep(REST_SECONDS / 2)
        assert watch.usable() == []
        await asyncio.sleep(REST_SECONDS)
        assert watch.usable() == ["bee"]  # to be tried again


@in_virtual_time
async def test_an_engine_at_work_is_not_asked_what_it_is() -> None:
    bee = Frail(seconds=10.0)
    async with watching(bee) as watch:
        work = asyncio.create_task(ask(watch))
        await asyncio.sleep(3 * LOOK_SECONDS)
        assert watch.engines["bee"].in_flight == 1
        assert bee.looks == 1
        await work
        await asyncio.sleep(2 * LOOK_SECONDS)
        assert bee.looks > 1


@in_virtual_time
async def test_an_engine_that_works_may_hide_its_list_of_models() -> None:
    bee = Frail()
    async with watching(bee) as watch:
        await ask(watch)
        bee.silent = NO_KEY
        await asyncio.sleep(3 * LOOK_SECONDS)
        assert watch.usable() == ["bee"]


async def test_a_server_that_was_never_reached_has_its_model_s_name_all_the_same() -> None:
    bounds = HttpBounds(retries=0, connect_s=1.0)
    settings = ServerSettings(
        base_url="http://127.0.0.1:9/v1", model="qwen3:8b", tools=False, turns=False, bounds=bounds
    )
    watch = EngineWatch({"qwen3:8b-2": OpenAIHttpEngine(settings)})
    await watch.begin()
    card = watch.card("qwen3:8b-2")
    assert (card.model, card.family, card.calls_tools, card.converses) == ("qwen3:8b", "qwen", False, False)
    assert watch.usable() == []
