"""The gate over a network: only this node's own models may answer alone."""

import pytest

from tests.swarm.crowd import QUESTIONS, TRUTH
from tests.swarm.mesh_crowd import MeshNode, assert_sound, make_client, make_mesh
from tests.virtual import in_virtual_time
from waggle.core.asking import AskOptions
from waggle.core.engine_values import JudgeMethod
from waggle.core.round_values import Budget
from waggle.engines.script import Script
from waggle.node.calibration import Calibration
from waggle.node.peers.client import request_of
from waggle.routing.kinds import fit_kinds
from waggle.routing.skills import NodeSkills, SkillCount

QUESTION = QUESTIONS[30]
AUTO = AskOptions(strategy="auto", budget=Budget(seconds=20.0), min_confidence=0.0)


def knowing(expert: str) -> Calibration:
    """By it models of this name are right on all questions like ours."""
    return Calibration(
        nodes={expert: NodeSkills(proposer={"kind": SkillCount(40.0, 40.0)})},
        judge_methods={expert: JudgeMethod.AUTO},
        chances={"kind": 0.0},
        kinds=fit_kinds([(question, "kind") for question in QUESTIONS]),
    )


async def crowd(expert: str) -> list[MeshNode]:
    nodes = await make_mesh([Script(name=f"m{number}", seed=number, skill=1.0) for number in range(4)])
    for node in nodes:
        node.swarm._calibration = knowing(expert)
    return nodes


@pytest.mark.parametrize(("expert", "strategy", "asked"), [("m0", "best", 1), ("m1", "committee", 4)])
@in_virtual_time
async def test_a_node_s_own_skilled_model_answers_alone_and_a_stranger_s_does_not(
    expert: str, strategy: str, asked: int
) -> None:
    nodes = await crowd(expert)
    record = await nodes[0].swarm.ask(QUESTION, AUTO)
    writers = sum(len(node.engine.asked) for node in nodes)
    assert_sound(record)
    assert (record.plan.strategy, record.outcome.answer, writers) == (strategy, TRUTH[QUESTION], asked)


@pytest.mark.parametrize("expert", ["m0", "m1"])
@in_virtual_time
async def test_a_client_takes_either_for_an_answer_to_its_question(expert: str) -> None:
    nodes = await crowd(expert)
    client, _ = await make_client(nodes)
    assert (await client.ask([nodes[0].id], request_of(QUESTION, AUTO))).outcome.answer == TRUTH[QUESTION]
