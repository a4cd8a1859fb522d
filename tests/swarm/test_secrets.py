"""What an engine's crash says stays at its node: rounds and their records tell only that it crashed."""

from collections.abc import Sequence

import msgspec
import pytest

from tests.swarm.crowd import QUESTIONS
from tests.swarm.mesh_crowd import MeshNode, make_mesh
from tests.swarm.test_mesh_rounds import LAN, QUICK, parts
from tests.virtual import in_virtual_time
from waggle.core.engine_values import GenerateRequest, Generation, Judgement, JudgeRequest
from waggle.core.round_values import BallotFailed, ProposalFailed

SECRET = "/home/me/secret/weights.bin"


def break_engine(node: MeshNode, *, proposes: bool) -> None:
    """From now on it crashes with words of its own; with `proposes` only as a judge."""

    async def generate(request: GenerateRequest) -> Generation:
        raise RuntimeError(f"cannot read {SECRET}")

    async def judge(request: JudgeRequest) -> Judgement:
        raise RuntimeError(f"cannot read {SECRET}")

    node.engine.judge = judge  # type: ignore[method-assign]
    if not proposes:
        node.engine.generate = generate  # type: ignore[method-assign]


@pytest.mark.parametrize("broken", [[0], [3], [0, 3]], ids=["the coordinator's", "a peer's", "both"])
@pytest.mark.parametrize("proposes", [False, True])
@in_virtual_time
async def test_what_a_crash_says_stays_at_its_node(broken: Sequence[int], proposes: bool) -> None:
    nodes = await make_mesh(parts(5), conditions=LAN)
    for number in broken:
        break_engine(nodes[number], proposes=proposes)
    record = await nodes[0].swarm.ask(QUESTIONS[77], QUICK)
    kind = BallotFailed if proposes else ProposalFailed
    assert any(isinstance(event, kind) for event in record.events)
    assert SECRET not in msgspec.json.encode(record).decode()
