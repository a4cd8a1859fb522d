"""How busy engines are: told by those that can tell."""

import asyncio

from waggle.core.engine_values import GenerateRequest
from waggle.engines.openai.engine import OpenAIHttpEngine
from waggle.engines.openai.settings import ServerSettings
from waggle.engines.remembering import RememberingEngine
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.engines.occupancy import occupancy_of
from waggle.node.engines.watch import EngineWatch
from waggle.testing.openai_server import serve_openai


class Batched(ScriptedEngine):
    """An engine with a batch."""

    load = 3


def test_engines_that_can_tell_are_asked_each_time() -> None:
    batched = Batched(Script(), {})
    silent = RememberingEngine(ScriptedEngine(Script(), {}))
    occupancy = occupancy_of({"ant": batched, "bee": silent})
    assert occupancy() == {"ant": 3.0}
    batched.load = 5
    assert occupancy() == {"ant": 5.0}


def test_an_engine_that_is_watched_tells_as_much() -> None:
    assert occupancy_of(EngineWatch({"ant": Batched(Script(), {})}).engines)() == {"ant": 3.0}


async def test_of_a_server_the_calls_under_way_are_told() -> None:
    async with serve_openai() as server:
        server.seconds_per_token = 5.0
        engine = OpenAIHttpEngine(ServerSettings(base_url=server.base_url, model="bee"))
        occupancy = occupancy_of({"bee": engine})
        assert occupancy() == {"bee": 0.0}
        calls = [asyncio.create_task(engine.generate(GenerateRequest(question="?"))) for _ in range(3)]
        await server.until(lambda: len(server.asked) == 3)
        assert occupancy() == {"bee": 3.0}
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert occupancy() == {"bee": 0.0}
        await engine.close()
