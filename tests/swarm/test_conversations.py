"""A conversation reaches every engine of a round over the network, and a client finds another one in the plan."""

import pytest
from msgspec.structs import replace

from tests.swarm.crowd import QUESTIONS, TRUTH
from tests.swarm.mesh_crowd import assert_sound, make_client, make_mesh
from tests.virtual import in_virtual_time
from waggle.core.asking import AskOptions
from waggle.core.chat_values import Role, Turn
from waggle.core.errors import RemoteProtocolError
from waggle.core.ids import NodeId, RoundId
from waggle.core.round_values import Budget, Plan, Record, Standing
from waggle.engines.script import Script
from waggle.mesh.messages import PleaseAnswer
from waggle.node.peers.client import request_of
from waggle.node.peers.fit import is_fit
from waggle.strategies.machine import Watch

QUESTION = QUESTIONS[5]
TURNS = (
    Turn(role=Role.SYSTEM, content="Be brief."),
    Turn(role=Role.USER, content="Hello."),
    Turn(role=Role.ASSISTANT, content="Hello to you."),
    Turn(role=Role.USER, content=QUESTION),
)
OPTIONS = AskOptions(budget=Budget(seconds=20.0), min_confidence=0.0, turns=TURNS)


def parts() -> list[Script]:
    return [Script(name=f"m{i}", seed=i, skill=float(i != 2), judge_skill=1.0) for i in range(5)]


@in_virtual_time
async def test_every_proposer_of_a_round_reads_the_conversation() -> None:
    nodes = await make_mesh(parts())
    record = await nodes[0].swarm.ask(QUESTION, OPTIONS)
    assert_sound(record)
    assert (record.plan.turns, record.outcome.answer) == (TURNS, TRUTH[QUESTION])
    asked = [request for node in nodes for request in node.engine.asked]
    assert len(asked) == 5
    assert all(request.turns == TURNS and request.question == QUESTION for request in asked)


def test_a_plan_with_another_conversation_is_refused() -> None:
    request = request_of(QUESTION, OPTIONS)
    plan = Plan(
        round_id=RoundId("ab" * 16), question=QUESTION, proposers=(Standing(node=NodeId("a")),), judges=(), turns=TURNS
    )
    assert is_fit(plan, request)
    for turns in ((), TURNS[1:], (*TURNS[:1], replace(TURNS[1], content="Goodbye."), *TURNS[2:])):
        assert not is_fit(replace(plan, turns=turns), request)
    assert not is_fit(plan, request_of(QUESTION, replace(OPTIONS, turns=())))


@in_virtual_time
async def test_a_client_does_not_listen_to_a_round_on_another_conversation() -> None:
    nodes = await make_mesh(parts())
    client, _ = await make_client(nodes)

    async def forge(asked: PleaseAnswer, watch: Watch) -> Record:
        return await nodes[0].swarm.ask(asked.question, replace(asked.options, turns=()), watch, asked.request)

    nodes[0].questions._answer = forge
    with pytest.raises(RemoteProtocolError):
        await client._ask_one(nodes[0].id, request_of(QUESTION, OPTIONS), None)
