"""Links that break in the middle of a round cost it nobody who is well: the work goes on over another stream."""

import asyncio
from collections import Counter

import pytest
from msgspec.structs import replace

from tests.swarm.crowd import QUESTIONS, TRUTH
from tests.swarm.mesh_crowd import MeshNode, assert_sound, make_mesh
from tests.swarm.test_mesh_rounds import LAN, parts
from tests.virtual import in_virtual_time
from waggle.core.asking import AskOptions
from waggle.core.engine_values import JudgeMethod
from waggle.core.errors import PeerUnreachable
from waggle.core.ids import NodeId
from waggle.core.round_effects import AskBallot, Brief, Pair
from waggle.core.round_values import (
    BallotReceived,
    Budget,
    Event,
    ProposalCommitted,
    ProposalReceived,
    Record,
    RoundStarted,
)
from waggle.mesh.memory import Conditions
from waggle.mesh.messages import ROUND_PROTOCOL
from waggle.mesh.transport import Stream
from waggle.node.peers.remote import AGAIN_SECONDS, RemoteWorker
from waggle.strategies.machine import Moment

QUESTION = QUESTIONS[77]
OPTIONS = AskOptions(budget=Budget(seconds=20.0), min_confidence=0.0)
NODES = 5
WORK_SECONDS = 0.5


class Links:
    """The links of a coordinator: breaks them at given times after an event, and counts the streams that it opens."""

    def __init__(self, nodes: list[MeshNode], when: type[Event], *delays: float) -> None:
        self.opened: Counter[NodeId] = Counter()
        self.broken: list[NodeId] = []
        self._breaking: list[asyncio.Future[None]] = []
        self._nodes = nodes
        self._when = when
        self._delays = list(delays)
        self._open = nodes[0].party._open_stream
        nodes[0].party._open_stream = self._count

    async def _count(self, node: NodeId) -> Stream:
        self.opened[node] += 1
        return await self._open(node)

    def watch(self, _: Moment, event: Event) -> None:
        """Begin when the first such event happens."""
        if isinstance(event, self._when):
            for delay in self._delays:
                asyncio.get_running_loop().call_later(delay, self._break)
            self._delays.clear()

    def _break(self) -> None:
        for node in self._nodes[1:]:
            self.broken.append(node.id)
            self._breaking.append(asyncio.ensure_future(self._nodes[0].transport.disconnect(node.id)))


@in_virtual_time
async def broken_round(
    when: type[Event], *delays: float, slow: int | None = None
) -> tuple[Record, Links, list[MeshNode]]:
    """One round with the links broken at these times; the node `slow` works five times as long as the others."""
    scripts = parts(NODES, seconds=WORK_SECONDS)
    if slow is not None:
        scripts[slow] = replace(scripts[slow], seconds_per_call=5 * WORK_SECONDS)
    nodes = await make_mesh(scripts, conditions=LAN)
    links = Links(nodes, when, *delays)
    record = await nodes[0].swarm.ask(QUESTION, OPTIONS, links.watch)
    assert_sound(record)
    assert bool(links.broken) is bool(delays)
    return record, links, nodes


def kinds(record: Record, kind: type[Event]) -> int:
    return sum(isinstance(event, kind) for event in record.events)


@pytest.mark.parametrize("delay", [0.05, 0.25, 0.49])
def test_links_that_break_while_proposers_work_cost_no_proposal_and_nothing_is_made_twice(delay: float) -> None:
    record, links, nodes = broken_round(RoundStarted, delay)
    assert record.outcome.failures == {}
    assert record.outcome.answer == TRUTH[QUESTION]
    assert kinds(record, ProposalReceived) == NODES
    assert [len(node.engine.asked) for node in nodes] == [1] * NODES
    assert {links.opened[node.id] for node in nodes[1:]} == {2}
    assert record.outcome.spent.seconds < 6 * WORK_SECONDS


def test_links_that_break_while_judges_work_cost_no_ballot_and_none_is_cast_twice() -> None:
    (record, links, nodes), (whole, _, others) = broken_round(ProposalReceived, 0.3), broken_round(ProposalReceived)
    assert record.outcome.failures == {}
    assert max(links.opened.values()) == 2
    assert kinds(record, BallotReceived) == kinds(whole, BallotReceived) > 0
    assert sum(node.engine.calls for node in nodes) == sum(node.engine.calls for node in others)


def test_a_node_whose_link_breaks_between_its_commitment_and_the_reveal_is_lost_without_blame() -> None:
    """While one of them still works, the others are bound."""
    record, links, nodes = broken_round(ProposalCommitted, 1.0, slow=-1)
    bound = {node.id for node in nodes[1:-1]}
    assert record.outcome.failures.keys() == bound
    assert {links.opened[node] for node in bound} == {1}
    assert links.opened[nodes[-1].id] == 2
    assert all("broke" in record.outcome.reasons[node] for node in bound)


def test_a_link_that_breaks_again_and_again_is_made_anew_once() -> None:
    record, links, nodes = broken_round(RoundStarted, 0.1, 0.2, 0.3)
    assert {node.id for node in nodes[1:]} == record.outcome.failures.keys()
    assert {links.opened[node.id] for node in nodes[1:]} == {2}


@in_virtual_time
async def test_a_peer_that_cannot_be_reached_again_is_waited_for_one_second_only() -> None:
    nodes = await make_mesh(parts(NODES, seconds=WORK_SECONDS), conditions=LAN)
    links = Links(nodes, RoundStarted, 0.1)

    async def never(node: NodeId) -> Stream:
        if links.opened[node]:
            await asyncio.sleep(60.0)
        return await opening(node)

    opening, nodes[0].party._open_stream = nodes[0].party._open_stream, never
    record = await nodes[0].swarm.ask(QUESTION, OPTIONS, links.watch)
    assert {node.id for node in nodes[1:]} == record.outcome.failures.keys()
    assert record.outcome.spent.seconds < 0.1 + AGAIN_SECONDS + 4 * WORK_SECONDS


async def one_worker(seconds: float) -> tuple[RemoteWorker, list[MeshNode], list[NodeId]]:
    """A peer's part in a round of the first node, and the streams opened for it."""
    nodes = await make_mesh(parts(2, seconds=seconds), conditions=LAN)
    opened: list[NodeId] = []

    async def open_stream(node: NodeId) -> Stream:
        opened.append(node)
        return await nodes[0].transport.open(node, ROUND_PROTOCOL, seconds=5.0)

    plan = nodes[0].swarm.plan(QUESTION, OPTIONS)
    return RemoteWorker(nodes[1].id, plan, nodes[0].key, open_stream), nodes, opened


def ballot_on(node: NodeId, first: int, second: int) -> AskBallot:
    return AskBallot(
        judge=node,
        brief=Brief(question=QUESTION, max_tokens=8),
        pair=Pair(
            first=first,
            second=second,
            first_text=f"answer {first}",
            second_text=f"answer {second}",
            method=JudgeMethod.AUTO,
            seed=0,
        ),
    )


@in_virtual_time
async def test_a_link_that_breaks_while_nothing_is_awaited_is_made_anew_with_the_next_ask() -> None:
    worker, nodes, opened = await one_worker(0.1)
    await worker.judge(ballot_on(nodes[1].id, 0, 1))
    await nodes[0].transport.disconnect(nodes[1].id)
    await asyncio.sleep(30.0)
    assert len(opened) == 1
    assert (await worker.judge(ballot_on(nodes[1].id, 1, 2))).judge == nodes[1].id
    assert len(opened) == 2
    await worker.close()


@in_virtual_time
async def test_a_peer_that_fell_silent_before_its_link_broke_is_not_asked_again() -> None:
    worker, nodes, opened = await one_worker(60.0)
    judging = asyncio.create_task(worker.judge(ballot_on(nodes[1].id, 0, 1)))
    await asyncio.sleep(0.5)
    nodes[0].network.set_way(nodes[1].id, nodes[0].id, Conditions(delay=3_600.0))
    await asyncio.sleep(5.0)
    await nodes[0].transport.disconnect(nodes[1].id)
    with pytest.raises(PeerUnreachable):
        await judging
    assert len(opened) == 1
    await worker.close()
    assert asyncio.get_running_loop().time() < 60.0
