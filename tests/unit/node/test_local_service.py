"""Engines of this process behind the seam that the gateway uses."""

import asyncio

import pytest

from waggle.core.engine_values import GenerateRequest
from waggle.core.errors import EngineUnavailable, UsageError
from waggle.core.ids import NodeId
from waggle.engines.script import Hanger, Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.local_service import LocalService, make_local_service
from waggle.node.planning import AskOptions
from waggle.node.swarm import Swarm

TRUTH = {"What is 6 * 7?": "42"}
REQUEST = "0123456789abcdef" * 2


async def service(**scripts: Script) -> LocalService:
    engines = {NodeId(name): ScriptedEngine(script, TRUTH) for name, script in scripts.items()}
    return await make_local_service(Swarm(engines))


async def test_a_question_is_answered_and_the_round_has_the_request_s_name() -> None:
    serving = await service(a=Script(name="ant"), b=Script(name="bee"), c=Script(name="cat"))
    record = await serving.ask("What is 6 * 7?", AskOptions(), request=REQUEST)
    assert record.outcome.answer == "42"
    assert record.plan.round_id == REQUEST
    assert 0 < record.outcome.spent.prompt_tokens < record.outcome.spent.proposing_tokens
    await serving.close()


async def test_fewer_proposers_and_judges_are_asked_where_so_wished() -> None:
    serving = await service(a=Script(name="ant"), b=Script(name="bee"), c=Script(name="cat"))
    plan = (await serving.ask("What is 6 * 7?", AskOptions(proposers=2, judges=1))).plan
    assert (len(plan.proposers), len(plan.standby), len(plan.judges)) == (2, 1, 1)


async def test_one_model_writes_token_by_token() -> None:
    serving = await service(a=Script(name="ant"), b=Script(name="bee"))
    tokens = [token async for token in serving.generate("bee", GenerateRequest(question="What is 6 * 7?"), 5.0)]
    made = tokens[-1].generation
    assert made is not None
    assert "".join(token.text for token in tokens) == made.text
    assert made.answer.strip() == "42"


async def test_a_model_that_does_not_answer_in_time_is_unavailable() -> None:
    serving = await service(a=Script(name="ant", conduct=Hanger(after_calls=0)))
    with pytest.raises(EngineUnavailable, match="in time"):
        async for _ in serving.generate("ant", GenerateRequest(question="What is 6 * 7?"), 0.05):
            pass
    assert serving.load.running == 0


async def test_an_unknown_model_is_named_with_those_there_are() -> None:
    serving = await service(a=Script(name="ant"), b=Script(name="bee"))
    with pytest.raises(UsageError, match=r"'dog'.*ant, bee"):
        await serving.embed("dog", ["text"], 1.0)


async def test_models_are_listed_once_with_all_their_nodes() -> None:
    serving = await service(a=Script(name="ant"), b=Script(name="bee"), c=Script(name="ant"))
    assert [(model.name, model.nodes) for model in serving.models()] == [("ant", ("a", "c")), ("bee", ("b",))]
    vectors = await serving.embed("bee", ["one", "two"], 1.0)
    assert len(vectors) == 2
    await asyncio.sleep(0)
