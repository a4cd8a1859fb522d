"""Whole rounds over a simulated network: a coordinator, its committee and a client outside, under every fault."""

import asyncio

import pytest

from tests.swarm.crowd import QUESTIONS, TRUTH
from tests.swarm.mesh_crowd import MeshNode, assert_sound, make_client, make_mesh
from waggle.core.asking import AskOptions
from waggle.core.errors import PeerBusy, PeerUnreachable
from waggle.core.ids import NodeId
from waggle.core.round_values import (
    BallotReceived,
    Budget,
    Event,
    ProposalCommitted,
    ProposalReceived,
    Record,
    RoundStarted,
)
from waggle.engines.script import Babbler, Crasher, Hanger, Script
from waggle.mesh.memory import Conditions
from waggle.mesh.messages import ROUND_PROTOCOL, PleaseAnswer
from waggle.node.peers.client import request_of
from waggle.strategies.machine import Moment, Watch
from waggle.testing.clock import run_virtual

pytestmark = pytest.mark.timeout(300)

QUESTION = QUESTIONS[77]
LAN = Conditions(delay=0.01, jitter=0.005)
QUICK = AskOptions(budget=Budget(seconds=20.0), min_confidence=0.0)


def parts(count: int, *, seconds: float = 0.5) -> list[Script]:
    """All are right but the third, so that there is always something to judge and never a doubt who wins."""
    return [
        Script(name=f"m{i}", seed=i, skill=float(i != 2), judge_skill=1.0, seconds_per_call=seconds)
        for i in range(count)
    ]


def test_a_round_over_the_network_commits_reveals_judges_and_is_right() -> None:
    async def run() -> Record:
        nodes = await make_mesh(parts(7), conditions=LAN)
        return await nodes[0].swarm.ask(QUESTION, QUICK)

    record = run_virtual(run())
    assert_sound(record)
    assert record.outcome.answer == TRUTH[QUESTION]
    kinds = [type(event) for event in record.events]
    assert kinds.count(ProposalCommitted) == kinds.count(ProposalReceived) == 5
    assert kinds.index(ProposalReceived) > max(i for i, kind in enumerate(kinds) if kind is ProposalCommitted)
    assert record.outcome.failures == {}


def test_a_node_without_models_of_its_own_can_coordinate() -> None:
    async def run() -> Record:
        nodes = await make_mesh(parts(6), conditions=LAN)
        nodes[0].work._engines.clear()
        nodes[0].party._own_offers = lambda: ()
        return await nodes[0].swarm.ask(QUESTION, QUICK)

    record = run_virtual(run())
    assert record.outcome.answer == TRUTH[QUESTION]
    assert len(record.outcome.candidates[0].supporters) >= 4


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("when", [RoundStarted, ProposalCommitted, ProposalReceived, BallotReceived])
def test_killing_two_nodes_at_any_phase_leaves_an_answer_in_time(when: type[Event], seed: int) -> None:
    async def run() -> Record:
        nodes = await make_mesh(parts(5), seed=seed, conditions=LAN)
        killed: list[NodeId] = []

        def kill_two(moment: Moment, event: Event) -> None:
            if isinstance(event, when) and not killed:
                committee = [standing.node for standing in moment.plan.proposers]
                killed.extend([node for node in committee if node != nodes[0].id][:2])
                for node in killed:
                    nodes[0].network.kill(node)

        record = await nodes[0].swarm.ask(QUESTION, QUICK, kill_two)
        assert len(killed) == 2
        return record

    record = run_virtual(run())
    assert_sound(record)
    assert record.outcome.answer is not None
    assert record.outcome.spent.seconds < 3.0, "a death that is seen is not waited for"


def test_a_dead_proposer_is_replaced_by_a_standby() -> None:
    async def run() -> Record:
        nodes = await make_mesh(parts(7), conditions=LAN)
        committee = nodes[0].swarm.plan(QUESTION, QUICK)
        nodes[0].swarm.plan = lambda question, options, request=None: committee  # type: ignore[method-assign]
        dead = next(s.node for s in committee.proposers if s.node != nodes[0].id)
        nodes[0].network.kill(dead)
        record = await nodes[0].swarm.ask(QUESTION, QUICK)
        assert dead in record.outcome.failures
        return record

    record = run_virtual(run())
    assert sum(isinstance(event, ProposalReceived) for event in record.events) == 5


def test_nobody_left_is_an_abstention_not_a_hang() -> None:
    async def run() -> Record:
        nodes = await make_mesh(parts(4), conditions=LAN)
        nodes[0].party._own_offers = lambda: ()
        for node in nodes[1:]:
            nodes[0].network.kill(node.id)
        return await nodes[0].swarm.ask(QUESTION, QUICK)

    record = run_virtual(run())
    assert record.outcome.abstained
    assert record.outcome.answer is None


def test_a_partition_costs_the_far_side_only() -> None:
    async def run() -> Record:
        nodes = await make_mesh(parts(5), conditions=LAN)
        near, far = [node.id for node in nodes[:3]], [node.id for node in nodes[3:]]
        nodes[0].network.partition(near, far)
        return await nodes[0].swarm.ask(QUESTION, QUICK)

    record = run_virtual(run())
    assert_sound(record)
    assert record.outcome.answer == TRUTH[QUESTION]
    assert len(record.outcome.failures) >= 2


@pytest.mark.parametrize("seed", range(4))
def test_five_percent_loss_and_long_delays_do_not_stop_a_round(seed: int) -> None:
    async def run() -> Record:
        rough = Conditions(delay=0.15, jitter=0.1, loss=0.05, reordering=0.05)
        nodes = await make_mesh(parts(7), seed=seed, conditions=rough)
        return await nodes[0].swarm.ask(QUESTION, QUICK)

    record = run_virtual(run())
    assert_sound(record)
    assert record.outcome.answer == TRUTH[QUESTION]


def test_a_slow_node_is_doubled_by_a_standby_and_told_to_stop() -> None:
    async def run() -> tuple[Record, MeshNode]:
        scripts = parts(7)
        scripts[1] = Script(name="m1", seed=1, judge_skill=1.0, skill=1.0, seconds_per_call=9.0)
        nodes = await make_mesh(scripts, conditions=LAN, speed=1_000.0)
        plan = nodes[0].swarm.plan(QUESTION, QUICK)
        while nodes[1].id not in {standing.node for standing in plan.proposers}:
            plan = nodes[0].swarm.plan(QUESTION, QUICK)
        nodes[0].swarm.plan = lambda question, options, request=None: plan  # type: ignore[method-assign]
        return await nodes[0].swarm.ask(QUESTION, AskOptions(strategy="vote", budget=Budget(seconds=20.0))), nodes[1]

    record, slow = run_virtual(run())
    assert record.outcome.reasons[slow.id] == "stopped: slower than expected"
    assert sum(isinstance(event, ProposalReceived) for event in record.events) == 5
    assert slow.engine.in_flight == 0


def test_a_hung_node_is_doubled_whatever_its_speed_and_then_left_out_for_a_while() -> None:
    async def run() -> tuple[list[Record], NodeId]:
        scripts = [Script(name=f"m{number}", seed=number, seconds_per_call=0.5) for number in range(7)]
        scripts[1] = Script(name="m1", seed=1, conduct=Hanger())
        nodes = await make_mesh(scripts, conditions=LAN, speed=10.0)
        options = AskOptions(strategy="vote", budget=Budget(seconds=40.0), min_confidence=0.0)
        return [await nodes[0].swarm.ask(question, options) for question in QUESTIONS[:12]], nodes[1].id

    records, hung = run_virtual(run())
    met = [hung in {standing.node for standing in record.plan.proposers} for record in records]
    assert sum(met) <= 1, "it costs time once"
    for record, waited in zip(records, met, strict=True):
        assert sum(isinstance(event, ProposalReceived) for event in record.events) == 5
        assert (9.0 < record.outcome.spent.seconds < 12.0) if waited else record.outcome.spent.seconds < 1.0


@pytest.mark.parametrize("conduct", [Babbler(), Crasher(), Hanger()])
def test_bad_engines_elsewhere_cost_their_share_and_no_more(conduct: object) -> None:
    async def run() -> Record:
        scripts = parts(5)
        scripts[3] = Script(name="m3", seed=3, conduct=conduct)  # type: ignore[arg-type]
        nodes = await make_mesh(scripts, conditions=LAN)
        return await nodes[0].swarm.ask(QUESTION, QUICK)

    record = run_virtual(run())
    assert_sound(record)
    assert record.outcome.answer == TRUTH[QUESTION]


def test_when_a_round_is_given_up_work_stops_at_every_node() -> None:
    async def run() -> list[int]:
        nodes = await make_mesh(parts(5, seconds=60.0), conditions=LAN)
        asking = asyncio.create_task(nodes[0].swarm.ask(QUESTION, QUICK))
        await asyncio.sleep(2)
        assert sum(node.engine.in_flight for node in nodes) == 5
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await asyncio.sleep(1)
        return [node.engine.in_flight for node in nodes]

    assert run_virtual(run()) == [0] * 5


def test_a_full_node_says_so_at_once_and_others_take_its_place() -> None:
    async def run() -> tuple[Record, NodeId]:
        nodes = await make_mesh(parts(7), conditions=LAN, capacity=1)
        full = nodes[3]
        full.work._admission._queue = 0
        holding = asyncio.create_task(_hold(full))
        await asyncio.sleep(0)
        record = await nodes[0].swarm.ask(QUESTION, QUICK)
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
        return record, full.id

    for _ in range(8):  # the committee is drawn by lot
        record, full = run_virtual(run())
        if full in record.outcome.failures:
            break
    assert record.outcome.reasons[full] == "no room now: try again in 1 s"
    assert record.outcome.answer == TRUTH[QUESTION]
    assert record.outcome.spent.seconds < 5.0


async def _hold(node: MeshNode, seconds: float = 1_000.0) -> None:
    async with node.work._admission.place(NodeId("somebody")):
        await asyncio.sleep(seconds)


async def _ask_the_full(seconds: float, *, budget: float) -> tuple[Record, int]:
    """Ask three nodes from outside that have no room for so long; also how often they were asked to coordinate."""
    nodes = await make_mesh(parts(3), conditions=LAN, capacity=1)
    for node in nodes:
        node.work._admission._queue = 0
    holding = [asyncio.create_task(_hold(node, seconds)) for node in nodes]
    client, _ = await make_client(nodes)
    asked = request_of(QUESTION, AskOptions(budget=Budget(seconds=budget), min_confidence=0.0))
    tries = list[str]()
    for node in nodes:
        _count(node, tries)
    try:
        return await client.ask([node.id for node in nodes], asked), len(tries)
    finally:
        for task in holding:
            task.cancel()
        await asyncio.gather(*holding, return_exceptions=True)
        assert 6 <= len(tries) <= 3 * budget  # three coordinators a second


def _count(node: MeshNode, tries: list[str]) -> None:
    answer = node.questions._answer

    async def counted(asked: PleaseAnswer, watch: Watch) -> Record:
        tries.append(asked.request)
        return await answer(asked, watch)

    node.questions._answer = counted


def test_a_full_swarm_is_asked_again_when_it_said_and_answers_then() -> None:
    record, tries = run_virtual(_ask_the_full(4.0, budget=20.0))
    assert record.outcome.answer == TRUTH[QUESTION]
    assert record.plan.budget.seconds < 16.5  # what was left
    assert tries == 3 * 3 + 1  # some more than a second apart, three coordinators each time


def test_who_finds_no_room_all_the_time_is_told_when_to_come_again() -> None:
    with pytest.raises(PeerBusy, match="the swarm has no room now: try again in 1 s") as caught:
        run_virtual(_ask_the_full(1_000.0, budget=8.0))
    assert caught.value.retry_after == 1.0


def test_nobody_waits_longer_for_room_than_the_budget_lasts() -> None:
    async def run() -> float:
        nodes = await make_mesh(parts(1), conditions=LAN, capacity=1)
        nodes[0].work._admission._queue, nodes[0].work._admission._mean_seconds = 0, 500.0
        holding = asyncio.create_task(_hold(nodes[0]))
        client, _ = await make_client(nodes)
        with pytest.raises(PeerBusy, match="try again in 500 s"):
            await client.ask([nodes[0].id], request_of(QUESTION, QUICK))
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
        return asyncio.get_running_loop().time()

    assert run_virtual(run()) < 2.0


def test_several_rounds_at_once_all_end_well() -> None:
    async def run() -> list[Record]:
        nodes = await make_mesh(parts(7), conditions=LAN)
        rounds = [nodes[i % 7].swarm.ask(question, QUICK) for i, question in enumerate(QUESTIONS[:40])]
        return await asyncio.gather(*rounds)

    records = run_virtual(run())
    for record in records:
        assert_sound(record)
        assert record.outcome.answer == TRUTH[record.plan.question]


# --- a client outside -----------------------------------------------------------------------------------------------


def test_a_client_hears_the_whole_round_and_can_replay_it() -> None:
    async def run() -> tuple[Record, list[Event]]:
        nodes = await make_mesh(parts(5), conditions=LAN)
        client, _ = await make_client(nodes)
        heard: list[Event] = []
        record = await client.ask(
            [node.id for node in nodes], request_of(QUESTION, QUICK), lambda _, event: heard.append(event)
        )
        return record, heard

    record, heard = run_virtual(run())
    assert_sound(record)
    assert list(record.events) == heard
    assert record.outcome.answer == TRUTH[QUESTION]


@pytest.mark.parametrize("after", [0.1, 0.4, 0.6, 0.9, 1.1])
@pytest.mark.parametrize("silent", [False, True])
def test_when_the_coordinator_dies_another_node_answers_and_nothing_is_worked_twice(after: float, silent: bool) -> None:
    async def run() -> tuple[Record, int, float]:
        nodes = await make_mesh(parts(6), conditions=LAN)
        client, transport = await make_client(nodes)
        nodes[0].party._own_offers = lambda: ()
        for node in nodes[1:]:  # all but the first one's models
            node.peers = tuple(peer for peer in node.peers if peer.node != nodes[0].id)
        asking = asyncio.create_task(client.ask([node.id for node in nodes], request_of(QUESTION, QUICK)))
        await asyncio.sleep(after)
        if silent:
            nodes[0].network.partition([nodes[0].id], [node.id for node in nodes[1:]] + [transport.node_id])
        else:
            nodes[0].network.kill(nodes[0].id)
        record = await asking
        proposals = sum(len(node.engine.asked) for node in nodes[1:])
        return record, proposals, asyncio.get_running_loop().time()

    record, proposals, seconds = run_virtual(run())
    assert_sound(record)
    assert record.outcome.answer == TRUTH[QUESTION]
    assert proposals == 5, "every node answered the question once"
    assert seconds <= 20.0 + 0.5


@pytest.mark.parametrize("after", [0.1, 0.3, 0.6])
def test_work_outlives_its_coordinator_until_the_next_one_asks_for_it(after: float) -> None:
    async def run() -> list[int]:
        nodes = await make_mesh(parts(5), conditions=LAN)
        client, _ = await make_client(nodes)
        nodes[0].party._own_offers = lambda: ()
        for node in nodes[1:]:
            node.peers = tuple(peer for peer in node.peers if peer.node != nodes[0].id)
        request = request_of(QUESTION, QUICK)
        asking = asyncio.create_task(client.ask([nodes[0].id], request))
        await asyncio.sleep(after)
        nodes[0].network.kill(nodes[0].id)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await asyncio.sleep(0.1)
        assert_sound(await client.ask([node.id for node in nodes[1:]], request))
        return [len(node.engine.asked) for node in nodes[1:]]

    assert run_virtual(run()) == [1, 1, 1, 1]


def test_work_that_no_coordinator_asks_for_again_ends_soon() -> None:
    async def run() -> list[int]:
        nodes = await make_mesh(parts(3, seconds=60.0), conditions=LAN)
        client, _ = await make_client(nodes)
        asking = asyncio.create_task(client.ask([nodes[0].id], request_of(QUESTION, AskOptions())))
        await asyncio.sleep(1)
        nodes[0].network.kill(nodes[0].id)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await asyncio.sleep(6)
        return [node.engine.in_flight for node in nodes[1:]]

    assert run_virtual(run()) == [0, 0]


def test_the_same_question_asked_twice_is_one_round() -> None:
    async def run() -> tuple[Record, Record]:
        nodes = await make_mesh(parts(5), conditions=LAN)
        client, _ = await make_client(nodes)
        asked = request_of(QUESTION, QUICK)
        first = asyncio.create_task(client.ask([nodes[0].id], asked))
        await asyncio.sleep(0.3)
        second = await client.ask([nodes[0].id], asked)
        return await first, second

    first, second = run_virtual(run())
    assert first == second


def test_a_client_that_goes_away_stops_the_round_after_a_grace() -> None:
    async def run() -> list[int]:
        nodes = await make_mesh(parts(5, seconds=60.0), conditions=LAN)
        client, _ = await make_client(nodes)
        options = AskOptions(budget=Budget(seconds=100.0))
        asking = asyncio.create_task(client.ask([nodes[0].id], request_of(QUESTION, options)))
        await asyncio.sleep(2)
        assert sum(node.engine.in_flight for node in nodes) == 5
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await asyncio.sleep(7)
        return [node.engine.in_flight for node in nodes]

    assert run_virtual(run()) == [0] * 5


def test_nobody_to_ask_is_said_within_the_budget() -> None:
    async def run() -> float:
        nodes = await make_mesh(parts(2), conditions=LAN)
        client, _ = await make_client(nodes)
        for node in nodes:
            node.network.kill(node.id)
        with pytest.raises(PeerUnreachable):
            await client.ask([node.id for node in nodes], request_of(QUESTION, QUICK))
        return asyncio.get_running_loop().time()

    assert run_virtual(run()) <= 21.0


@pytest.mark.parametrize("junk", [b"", b"\xc1", b"\x00" * 100, b"\x92" * 1000, bytes(range(256))])
def test_junk_on_a_round_stream_harms_nobody(junk: bytes) -> None:
    async def run() -> Record:
        nodes = await make_mesh(parts(5), conditions=LAN)
        _, transport = await make_client(nodes)
        for node in nodes:
            stream = await transport.open(node.id, ROUND_PROTOCOL)
            await stream.send(junk)
            assert await stream.receive() is None
        return await nodes[0].swarm.ask(QUESTION, QUICK)

    assert run_virtual(run()).outcome.answer == TRUTH[QUESTION]
