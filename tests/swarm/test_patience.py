"""Whoever opens a stream and then says nothing is not waited for, and what nobody waits for any longer ends."""

import asyncio

import pytest

from tests.swarm.mesh_crowd import make_client, make_mesh
from tests.swarm.test_mesh_rounds import LAN, QUESTION, QUICK, parts
from tests.virtual import in_virtual_time
from waggle.core.errors import PeerUnreachable
from waggle.core.ids import NodeId
from waggle.core.round_effects import AskProposal, Brief
from waggle.mesh.channel import SignedChannel
from waggle.mesh.messages import ASK_PROTOCOL, ROUND_PROTOCOL, PleasePropose
from waggle.mesh.transport import Stream
from waggle.node.peers import participant, question_server
from waggle.node.peers.heartbeat import SILENT_SECONDS
from waggle.node.peers.remote import RemoteWorker
from waggle.trust.keys import NodeKey

REQUEST = "0" * 32
ASKED_SECONDS = 5.0
SLACK_SECONDS = 1.0


def ask_of(node: NodeId) -> AskProposal:
    return AskProposal(node=node, brief=Brief(question=QUESTION, max_tokens=64), sampling=QUICK.sampling)


async def seconds_until_ended(stream: Stream) -> float:
    """Virtual seconds until the other side ends a stream; whatever it says before does not count."""
    clock = asyncio.get_running_loop().time
    began = clock()
    async with asyncio.timeout(1_000.0):
        while await stream.receive() is not None:
            pass
    return clock() - began


@pytest.mark.parametrize(
    ("protocol", "most"),
    [(ROUND_PROTOCOL, participant.FIRST_MESSAGE_SECONDS), (ASK_PROTOCOL, question_server.QUESTION_SECONDS)],
)
@in_virtual_time
async def test_who_opens_a_stream_and_says_nothing_is_left(protocol: str, most: float) -> None:
    [node] = await make_mesh(parts(1), conditions=LAN)
    _, transport = await make_client([node])
    assert (await seconds_until_ended(await transport.open(node.id, protocol, seconds=5.0))) < most + SLACK_SECONDS


@in_virtual_time
async def test_a_coordinator_that_says_nothing_more_is_left_soon_after_the_time_it_stated() -> None:
    [node] = await make_mesh(parts(1), conditions=LAN)
    key = NodeKey.generate()
    transport = node.network.join(key.node_id)
    await transport.connect(await node.transport.addresses())
    stream = await transport.open(node.id, ROUND_PROTOCOL, seconds=5.0)
    await SignedChannel(stream, key, REQUEST).send(PleasePropose(ask=ask_of(node.id), seconds=ASKED_SECONDS))
    assert (await seconds_until_ended(stream)) < ASKED_SECONDS + participant.SPARE_SECONDS + SLACK_SECONDS


@in_virtual_time
async def test_work_for_a_round_ends_with_the_time_that_its_coordinator_stated() -> None:
    coordinating, peer = await make_mesh(parts(2, seconds=60.0), conditions=LAN)
    stream = await coordinating.transport.open(peer.id, ROUND_PROTOCOL, seconds=5.0)
    asked = PleasePropose(ask=ask_of(peer.id), seconds=ASKED_SECONDS)
    await SignedChannel(stream, coordinating.key, REQUEST).send(asked)
    await asyncio.sleep(ASKED_SECONDS + SLACK_SECONDS)
    assert peer.engine.in_flight == 0


@in_virtual_time
async def test_a_peer_whose_link_holds_but_who_falls_silent_is_given_up() -> None:
    [node] = await make_mesh(parts(1), conditions=LAN)
    key = NodeKey.generate()
    frozen = node.network.join(key.node_id)

    async def say_nothing(stream: Stream) -> None:
        await asyncio.sleep(1_000.0)

    await frozen.serve_streams(ROUND_PROTOCOL, say_nothing)
    await node.transport.connect(await frozen.addresses())
    plan = node.swarm.plan(QUESTION, QUICK)
    worker = RemoteWorker(key.node_id, plan, node.key, node._open)
    clock = asyncio.get_running_loop().time
    began = clock()
    with pytest.raises(PeerUnreachable):
        async with asyncio.timeout(500.0):
            await worker.propose(ask_of(key.node_id))
    await worker.close()
    assert (clock() - began) < SILENT_SECONDS + SLACK_SECONDS


@in_virtual_time
async def test_a_proposer_told_to_stop_does_so_while_the_round_goes_on() -> None:
    coordinator, peer = await make_mesh(parts(2, seconds=60.0), conditions=LAN)
    plan = coordinator.swarm.plan(QUESTION, QUICK)
    worker = RemoteWorker(peer.id, plan, coordinator.key, coordinator._open)
    proposing = asyncio.create_task(worker.propose(ask_of(peer.id)))
    await asyncio.sleep(2)
    assert peer.engine.in_flight == 1
    proposing.cancel()
    await asyncio.sleep(1)
    assert peer.engine.in_flight == 0
    assert worker._over is None, "the round goes on"
    await worker.close()
