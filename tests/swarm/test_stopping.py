"""Work that is not wanted any longer ends while the round goes on, not only with it."""

import asyncio

from tests.swarm.crowd import QUESTIONS
from tests.swarm.mesh_crowd import make_mesh
from tests.swarm.test_mesh_rounds import LAN, QUICK, parts
from tests.virtual import in_virtual_time
from waggle.core.round_effects import AskProposal, Brief
from waggle.node.peers.remote import RemoteWorker

QUESTION = QUESTIONS[77]


@in_virtual_time
async def test_a_proposer_told_to_stop_does_so_while_the_round_goes_on() -> None:
    coordinator, peer = await make_mesh(parts(2, seconds=60.0), conditions=LAN)
    plan = coordinator.swarm.plan(QUESTION, QUICK)
    worker = RemoteWorker(peer.id, plan, coordinator.key, coordinator._open)
    ask = AskProposal(node=peer.id, sampling=QUICK.sampling, brief=Brief(question=QUESTION, max_tokens=64, model=""))
    proposing = asyncio.create_task(worker.propose(ask))
    await asyncio.sleep(2)
    assert peer.engine.in_flight == 1
    proposing.cancel()
    await asyncio.sleep(1)
    assert peer.engine.in_flight == 0
    assert worker._over is None, "the round goes on"
    await worker.close()
