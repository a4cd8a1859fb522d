"""Engines of this process behind the seam that the gateway uses."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import pytest
from msgspec.structs import replace

from waggle.core.asking import AskOptions
from waggle.core.chat_values import Role, Turn
from waggle.core.engine_values import EngineCard, GenerateRequest, StreamedToken
from waggle.core.errors import EngineUnavailable, UsageError
from waggle.core.ids import NodeId
from waggle.engines.script import Crasher, Hanger, Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.clock import SystemClock
from waggle.node.rounds.swarm import Swarm
from waggle.node.services.local import LocalService, make_local_service

TRUTH = {"What is 6 * 7?": "42"}
ASKED = GenerateRequest(question="What is 6 * 7?", max_tokens=32)
REQUEST = "0123456789abcdef" * 2


ANT = Script(name="ant", skill=1.0)
Serve = Callable[..., Awaitable[LocalService]]


@pytest.fixture
async def service() -> AsyncIterator[Serve]:
    """Serves engines, or make-believe ones by these scripts, until the test ends."""
    made: list[LocalService] = []

    async def serve(**parts: Script | ScriptedEngine) -> LocalService:
        engines = {
            NodeId(name): ScriptedEngine(part, TRUTH) if isinstance(part, Script) else part
            for name, part in parts.items()
        }
        made.append(await make_local_service(Swarm(engines)))
        return made[-1]

    yield serve
    for each in made:
        await each.close()


async def test_a_question_is_answered_and_the_round_has_the_request_s_name(service: Serve) -> None:
    serving = await service(a=Script(name="ant"), b=Script(name="bee"), c=Script(name="cat"))
    record = await serving.ask("What is 6 * 7?", AskOptions(), request=REQUEST)
    assert record.outcome.answer == "42"
    assert record.plan.round_id == REQUEST
    assert 0 < record.outcome.spent.prompt_tokens < record.outcome.spent.proposing_tokens


async def test_fewer_proposers_and_judges_are_asked_where_so_wished(service: Serve) -> None:
    serving = await service(a=Script(name="ant"), b=Script(name="bee"), c=Script(name="cat"))
    plan = (await serving.ask("What is 6 * 7?", AskOptions(proposers=2, judges=1))).plan
    assert (len(plan.proposers), len(plan.standby), len(plan.judges)) == (2, 1, 1)


async def test_one_model_writes_token_by_token(service: Serve) -> None:
    serving = await service(a=Script(name="ant"), b=Script(name="bee"))
    tokens = [token async for token in serving.generate("bee", GenerateRequest(question="What is 6 * 7?"), 30.0)]
    made = tokens[-1].generation
    assert made is not None
    assert "".join(token.text for token in tokens) == made.text
    assert made.answer.strip() == "42"


async def test_a_model_that_does_not_answer_in_time_is_unavailable(service: Serve) -> None:
    serving = await service(a=Script(name="ant", conduct=Hanger(after_calls=0)))
    with pytest.raises(EngineUnavailable, match="in time"):
        async for _ in serving.generate("ant", GenerateRequest(question="What is 6 * 7?"), 0.05):
            pass
    assert serving.load.running == 0


async def test_an_unknown_model_is_named_with_those_there_are(service: Serve) -> None:
    serving = await service(a=Script(name="ant"), b=Script(name="bee"))
    with pytest.raises(UsageError, match=r"'dog'.*ant, bee"):
        await serving.embed("dog", ["text"], 30.0)


async def test_models_are_listed_once_with_all_their_nodes(service: Serve) -> None:
    serving = await service(a=Script(name="ant"), b=Script(name="bee"), c=Script(name="ant"))
    assert [(model.name, model.nodes) for model in serving.models()] == [("ant", ("a", "c")), ("bee", ("b",))]
    vectors = await serving.embed("bee", ["one", "two"], 30.0)
    assert len(vectors) == 2
    await asyncio.sleep(0)


async def collected(serving: LocalService, model: str = "ant") -> str:
    """The streamed text, which is that of the generation."""
    said = [token async for token in serving.generate(model, ASKED, 30.0)]
    made = said[-1].generation
    assert made is not None
    text = "".join(token.text for token in said)
    assert text == made.text
    return text


class Dies(ScriptedEngine):
    """Gives out so many tokens, and is gone for good."""

    def __init__(self, name: str, tokens: int) -> None:
        super().__init__(Script(name=name, skill=1.0), TRUTH)
        self.tokens = tokens

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamedToken, None]:
        given = 0
        async with aclosing(super().stream(request)) as tokens:
            async for token in tokens:
                if given == self.tokens:
                    raise EngineUnavailable("the server broke the connection")
                given += 1
                yield token


@pytest.mark.parametrize("tokens", [0, 1, 3])
async def test_another_engine_with_the_model_goes_on_where_one_dies(service: Serve, tokens: int) -> None:
    dying = Dies("ant", tokens)
    serving = await service(a=dying, b=ANT)
    assert await collected(serving) == await collected(await service(b=ANT))
    assert dying.calls == 1
    await collected(serving)
    assert dying.calls == 1  # who failed is tried last for a while


async def test_calls_of_one_moment_are_spread_over_the_engines_with_the_model(service: Serve) -> None:
    script = replace(ANT, seconds_per_token=0.01)
    engines = {name: ScriptedEngine(script, TRUTH, clock=SystemClock()) for name in ("a", "b")}
    serving = await service(**engines)
    await asyncio.gather(*(collected(serving) for _ in range(6)))
    assert [engine.calls for engine in engines.values()] == [3, 3]


async def test_embeddings_come_from_another_engine_where_one_fails(service: Serve) -> None:
    serving = await service(a=Script(name="ant", conduct=Crasher()), b=Script(name="ant"))
    assert len(await serving.embed("ant", ["one", "two"], 30.0)) == 2


class Gone(ScriptedEngine):
    """Cannot be reached, until it is."""

    reachable = False

    async def describe(self) -> EngineCard:
        if not self.reachable:
            raise EngineUnavailable("http://10.0.0.7/v1 cannot be reached: is the server running?")
        return await super().describe()


def gone(name: str = "bee") -> Gone:
    return Gone(Script(name=name, skill=1.0), TRUTH)


async def test_an_engine_that_is_down_at_the_start_ends_nothing_and_is_told_as_down(service: Serve) -> None:
    serving = await service(a=ANT, bee=gone())
    ant, bee = serving.models()
    assert (ant.usable, ant.nodes, ant.down) == (True, ("a",), {})
    assert (bee.usable, bee.nodes) == (False, ())
    assert bee.down[NodeId("bee")].startswith("its server cannot be reached")
    record = await serving.ask("What is 6 * 7?", AskOptions())
    assert [standing.node for standing in record.plan.proposers] == ["a"]  # nobody waits for the one that is down


async def test_a_swarm_whose_engines_are_all_down_starts_and_answers_once_one_is_back(service: Serve) -> None:
    bee = gone()
    serving = await service(bee=bee)
    assert not any(model.usable for model in serving.models())
    bee.reachable = True
    assert await collected(serving, "bee")  # a call tries it all the same, and so finds it
    assert all(model.usable for model in serving.models())


async def test_a_model_is_usable_while_one_of_its_engines_is(service: Serve) -> None:
    ant = gone("ant")
    ant.reachable = True
    serving = await service(a=ant, b=ANT)
    serving._watch.engines["a"].trouble = "its server cannot be reached"
    [model] = serving.models()
    assert (model.usable, model.nodes, model.down) == (True, ("b",), {"a": "its server cannot be reached"})


async def test_a_conversation_is_for_those_that_read_one_where_there_are_any(service: Serve) -> None:
    class Deaf(ScriptedEngine):
        async def describe(self) -> EngineCard:
            return replace(await super().describe(), converses=False)

    ant = Deaf(ANT, TRUTH)
    turns = (Turn(role=Role.SYSTEM, content="Be short."), Turn(role=Role.USER, content="What is 6 * 7?"))
    serving = await service(ant=ant, bee=Script(name="bee", skill=0.5))
    plan = (await serving.ask("What is 6 * 7?", AskOptions(turns=turns))).plan
    assert [standing.node for standing in (*plan.proposers, *plan.judges)] == ["bee", "bee"]
    assert len((await serving.ask("What is 6 * 7?", AskOptions())).plan.proposers) == 2
    deaf = await service(ant=ant)
    assert len((await deaf.ask("What is 6 * 7?", AskOptions(turns=turns))).plan.proposers) == 1
    assert [model.converses for model in serving.models()] == [False, True]
