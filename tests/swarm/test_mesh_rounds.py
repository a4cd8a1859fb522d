"""Whole rounds over a simulated network: a coordinator, its committee and a client outside, under every fault."""

import asyncio

import pytest

from tests.swarm.crowd import QUESTIONS, TRUTH
from tests.swarm.mesh_crowd import MeshNode, assert_sound, make_client, make_mesh
from tests.virtual import in_virtual_time
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


@in_virtual_time
async def test_a_round_over_the_network_commits_reveals_judges_and_is_right() -> None:
    nodes = await make_mesh(parts(7), conditions=LAN)
    record = await nodes[0].swarm.ask(QUESTION, QUICK)
    assert_sound(record)
    assert record.outcome.answer == TRUTH[QUESTION]
    kinds = [type(event) for event in record.events]
    assert kinds.count(ProposalCommitted) == kinds.count(ProposalReceived) == 5
    assert kinds.index(ProposalReceived) > max(i for i, kind in enumerate(kinds) if kind is ProposalCommitted)
    assert record.outcome.failures == {}


@in_virtual_time
async def test_a_node_without_models_of_its_own_can_coordinate() -> None:
    nodes = await make_mesh(parts(6), conditions=LAN)
    nodes[0].work._engines.clear()
    nodes[0].party._own_offers = lambda: ()
    record = await nodes[0].swarm.ask(QUESTION, QUICK)
    assert record.outcome.answer == TRUTH[QUESTION]
    assert len(record.outcome.candidates[0].supporters) >= 4


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("when", [RoundStarted, ProposalCommitted, ProposalReceived, BallotReceived])
@in_virtual_time
async def test_killing_two_nodes_at_any_phase_leaves_an_answer_in_time(when: type[Event], seed: int) -> None:
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
    assert_sound(record)
    assert record.outcome.answer is not None
    assert record.outcome.spent.seconds < 3.0, "a death that is seen is not waited for"


@in_virtual_time
async def test_a_dead_proposer_is_replaced_by_a_standby() -> None:
    nodes = await make_mesh(parts(7), conditions=LAN)
    committee = nodes[0].swarm.plan(QUESTION, QUICK)
    nodes[0].swarm.plan = lambda question, options, request=None: committee  # type: ignore[method-assign]
    dead = next(s.node for s in committee.proposers if s.node != nodes[0].id)
    nodes[0].network.kill(dead)
    record = await nodes[0].swarm.ask(QUESTION, QUICK)
    assert dead in record.outcome.failures
    assert sum(isinstance(event, ProposalReceived) for event in record.events) == 5


@in_virtual_time
async def test_nobody_left_is_an_abstention_not_a_hang() -> None:
    nodes = await make_mesh(parts(4), conditions=LAN)
    nodes[0].party._own_offers = lambda: ()
    for node in nodes[1:]:
        nodes[0].network.kill(node.id)
    record = await nodes[0].swarm.ask(QUESTION, QUICK)
    assert record.outcome.abstained
    assert record.outcome.answer is None


@in_virtual_time
async def test_a_partition_costs_the_far_side_only() -> None:
    nodes = await make_mesh(parts(5), conditions=LAN)
    near, far = [node.id for node in nodes[:3]], [node.id for node in nodes[3:]]
    nodes[0].network.partition(near, far)
    record = await nodes[0].swarm.ask(QUESTION, QUICK)
    assert_sound(record)
    assert record.outcome.answer == TRUTH[QUESTION]
    assert len(record.outcome.failures) >= 2


@pytest.mark.parametrize("seed", range(4))
@in_virtual_time
async def test_five_percent_loss_and_long_delays_do_not_stop_a_round(seed: int) -> None:
    rough = Conditions(delay=0.15, jitter=0.1, loss=0.05, reordering=0.05)
    nodes = await make_mesh(parts(7), seed=seed, conditions=rough)
    record = await nodes[0].swarm.ask(QUESTION, QUICK)
    assert_sound(record)
    assert record.outcome.answer == TRUTH[QUESTION]


@in_virtual_time
async def test_a_slow_node_is_doubled_by_a_standby_and_told_to_stop() -> None:
    scripts = parts(7)
    scripts[1] = Script(name="m1", seed=1, judge_skill=1.0, skill=1.0, seconds_per_call=9.0)
    nodes = await make_mesh(scripts, conditions=LAN, speed=1_000.0)
    plan = nodes[0].swarm.plan(QUESTION, QUICK)
    while nodes[1].id not in {standing.node for standing in plan.proposers}:
        plan = nodes[0].swarm.plan(QUESTION, QUICK)
    nodes[0].swarm.plan = lambda question, options, request=None: plan  # type: ignore[method-assign]
    record = await nodes[0].swarm.ask(QUESTION, AskOptions(strategy="vote", budget=Budget(seconds=20.0)))
    assert record.outcome.reasons[nodes[1].id] == "stopped: slower than expected"
    assert sum(isinstance(event, ProposalReceived) for event in record.events) == 5
    await asyncio.sleep(0.1)
    assert nodes[1].engine.in_flight == 0


@in_virtual_time
async def test_a_hung_node_is_doubled_whatever_its_speed_and_then_left_out_for_a_while() -> None:
    scripts = [Script(name=f"m{number}", seed=number, seconds_per_call=0.5) for number in range(7)]
    scripts[1] = Script(name="m1", seed=1, conduct=Hanger())
    nodes = await make_mesh(scripts, conditions=LAN, speed=10.0)
    options = AskOptions(strategy="vote", budget=Budget(seconds=40.0), min_confidence=0.0)
    records = [await nodes[0].swarm.ask(question, options) for question in QUESTIONS[:12]]
    met = [nodes[1].id in {standing.node for standing in record.plan.proposers} for record in records]
    assert sum(met) <= 1, "it costs time once"
    for record, waited in zip(records, met, strict=True):
        assert sum(isinstance(event, ProposalReceived) for event in record.events) == 5
        assert (9.0 < record.outcome.spent.seconds < 12.0) if waited else record.outcome.spent.seconds < 1.0


@pytest.mark.parametrize("conduct", [Babbler(), Crasher(), Hanger()])
@in_virtual_time
async def test_bad_engines_elsewhere_cost_their_share_and_no_more(conduct: object) -> None:
    scripts = parts(5)
    scripts[3] = Script(name="m3", seed=3, conduct=conduct)  # type: ignore[arg-type]
    nodes = await make_mesh(scripts, conditions=LAN)
    record = await nodes[0].swarm.ask(QUESTION, QUICK)
    assert_sound(record)
    assert record.outcome.answer == TRUTH[QUESTION]


@in_virtual_time
async def test_when_a_round_is_given_up_work_stops_at_every_node() -> None:
    nodes = await make_mesh(parts(5, seconds=60.0), conditions=LAN)
    asking = asyncio.create_task(nodes[0].swarm.ask(QUESTION, QUICK))
    await asyncio.sleep(2)
    assert sum(node.engine.in_flight for node in nodes) == 5
    await _end(asking)
    await asyncio.sleep(1)
    assert [node.engine.in_flight for node in nodes] == [0] * 5


@in_virtual_time
async def test_a_full_node_says_so_at_once_and_others_take_its_place() -> None:
    for _ in range(8):  # the committee is drawn by lot
        nodes = await make_mesh(parts(7), conditions=LAN, capacity=1)
        full = nodes[3]
        full.work._admission._queue = 0
        holding = asyncio.create_task(_hold(full))
        await asyncio.sleep(0)
        record = await nodes[0].swarm.ask(QUESTION, QUICK)
        await _end(holding)
        if full.id in record.outcome.failures:
            break
    assert record.outcome.reasons[full.id] == "no room now: try again in 1 s"
    assert record.outcome.answer == TRUTH[QUESTION]
    assert record.outcome.spent.seconds < 5.0


async def _hold(node: MeshNode, seconds: float = 1_000.0) -> None:
    async with node.work._admission.place(NodeId("somebody")):
        await asyncio.sleep(seconds)


async def _end(*tasks: "asyncio.Task[object]") -> None:
    """Cancel them, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@in_virtual_time
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
        await _end(*holding)
        assert 6 <= len(tries) <= 3 * budget  # three coordinators a second


def _count(node: MeshNode, tries: list[str]) -> None:
    answer = node.questions._answer

    async def counted(asked: PleaseAnswer, watch: Watch) -> Record:
        tries.append(asked.request)
        return await answer(asked, watch)

    node.questions._answer = counted


def test_a_full_swarm_is_asked_again_when_it_said_and_answers_then() -> None:
    record, tries = _ask_the_full(4.0, budget=20.0)
    assert record.outcome.answer == TRUTH[QUESTION]
    assert record.plan.budget.seconds < 16.5  # what was left
    assert tries == 3 * 3 + 1  # some more than a second apart, three coordinators each time


def test_who_finds_no_room_all_the_time_is_told_when_to_come_again() -> None:
    with pytest.raises(PeerBusy, match="the swarm has no room now: try again in 1 s") as caught:
        _ask_the_full(1_000.0, budget=8.0)
    assert caught.value.retry_after == 1.0


@in_virtual_time
async def test_nobody_waits_longer_for_room_than_the_budget_lasts() -> None:
    nodes = await make_mesh(parts(1), conditions=LAN, capacity=1)
    nodes[0].work._admission._queue, nodes[0].work._admission._mean_seconds = 0, 500.0
    holding = asyncio.create_task(_hold(nodes[0]))
    client, _ = await make_client(nodes)
    with pytest.raises(PeerBusy, match="try again in 500 s"):
        await client.ask([nodes[0].id], request_of(QUESTION, QUICK))
    await _end(holding)
    assert asyncio.get_running_loop().time() < 2.0


@in_virtual_time
async def test_several_rounds_at_once_all_end_well() -> None:
    nodes = await make_mesh(parts(7), conditions=LAN)
    rounds = [nodes[i % 7].swarm.ask(question, QUICK) for i, question in enumerate(QUESTIONS[:40])]
    for record in await asyncio.gather(*rounds):
        assert_sound(record)
        assert record.outcome.answer == TRUTH[record.plan.question]


# --- a client outside -----------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_client_hears_the_whole_round_and_can_replay_it() -> None:
    nodes = await make_mesh(parts(5), conditions=LAN)
    client, _ = await make_client(nodes)
    heard: list[Event] = []
    record = await client.ask(
        [node.id for node in nodes], request_of(QUESTION, QUICK), lambda _, event: heard.append(event)
    )
    assert_sound(record)
    assert list(record.events) == heard
    assert record.outcome.answer == TRUTH[QUESTION]


def _leave_out_the_models_of(one: MeshNode, nodes: list[MeshNode]) -> None:
    one.party._own_offers = lambda: ()
    for node in nodes:
        node.peers = tuple(peer for peer in node.peers if peer.node != one.id)


@pytest.mark.parametrize("after", [0.1, 0.4, 0.6, 0.9, 1.1])
@pytest.mark.parametrize("silent", [False, True])
@in_virtual_time
async def test_when_the_coordinator_dies_another_node_answers_and_nothing_is_worked_twice(
    after: float, silent: bool
) -> None:
    nodes = await make_mesh(parts(6), conditions=LAN)
    client, transport = await make_client(nodes)
    _leave_out_the_models_of(nodes[0], nodes)
    asking = asyncio.create_task(client.ask([node.id for node in nodes], request_of(QUESTION, QUICK)))
    await asyncio.sleep(after)
    if silent:
        nodes[0].network.partition([nodes[0].id], [node.id for node in nodes[1:]] + [transport.node_id])
    else:
        nodes[0].network.kill(nodes[0].id)
    record = await asking
    assert asyncio.get_running_loop().time() <= 20.0 + 0.5
    assert_sound(record)
    assert record.outcome.answer == TRUTH[QUESTION]
    assert sum(len(node.engine.asked) for node in nodes[1:]) == 5, "every node answered the question once"


@pytest.mark.parametrize("after", [0.1, 0.3, 0.6])
@in_virtual_time
async def test_work_outlives_its_coordinator_until_the_next_one_asks_for_it(after: float) -> None:
    nodes = await make_mesh(parts(5), conditions=LAN)
    client, _ = await make_client(nodes)
    _leave_out_the_models_of(nodes[0], nodes)
    request = request_of(QUESTION, QUICK)
    asking = asyncio.create_task(client.ask([nodes[0].id], request))
    await asyncio.sleep(after)
    nodes[0].network.kill(nodes[0].id)
    await _end(asking)
    await asyncio.sleep(0.1)
    assert_sound(await client.ask([node.id for node in nodes[1:]], request))
    assert [len(node.engine.asked) for node in nodes[1:]] == [1, 1, 1, 1]


@in_virtual_time
async def test_work_that_no_coordinator_asks_for_again_ends_soon() -> None:
    nodes = await make_mesh(parts(3, seconds=60.0), conditions=LAN)
    client, _ = await make_client(nodes)
    asking = asyncio.create_task(client.ask([nodes[0].id], request_of(QUESTION, AskOptions())))
    await asyncio.sleep(1)
    nodes[0].network.kill(nodes[0].id)
    await _end(asking)
    await asyncio.sleep(6)
    assert [node.engine.in_flight for node in nodes[1:]] == [0, 0]


@in_virtual_time
async def test_the_same_question_asked_twice_is_one_round() -> None:
    nodes = await make_mesh(parts(5), conditions=LAN)
    client, _ = await make_client(nodes)
    asked = request_of(QUESTION, QUICK)
    first = asyncio.create_task(client.ask([nodes[0].id], asked))
    await asyncio.sleep(0.3)
    second = await client.ask([nodes[0].id], asked)
    assert await first == second


@in_virtual_time
async def test_a_client_that_goes_away_stops_the_round_after_a_grace() -> None:
    nodes = await make_mesh(parts(5, seconds=60.0), conditions=LAN)
    client, _ = await make_client(nodes)
    options = AskOptions(budget=Budget(seconds=100.0))
    asking = asyncio.create_task(client.ask([nodes[0].id], request_of(QUESTION, options)))
    await asyncio.sleep(2)
    assert sum(node.engine.in_flight for node in nodes) == 5
    await _end(asking)
    await asyncio.sleep(7)
    assert [node.engine.in_flight for node in nodes] == [0] * 5


@in_virtual_time
async def test_nobody_to_ask_is_said_within_the_budget() -> None:
    nodes = await make_mesh(parts(2), conditions=LAN)
    client, _ = await make_client(nodes)
    for node in nodes:
        node.network.kill(node.id)
    with pytest.raises(PeerUnreachable):
        await client.ask([node.id for node in nodes], request_of(QUESTION, QUICK))
    assert asyncio.get_running_loop().time() <= 21.0


@pytest.mark.parametrize("junk", [b"", b"\xc1", b"\x00" * 100, b"\x92" * 1000, bytes(range(256))])
@in_virtual_time
async def test_junk_on_a_round_stream_harms_nobody(junk: bytes) -> None:
    nodes = await make_mesh(parts(5), conditions=LAN)
    _, transport = await make_client(nodes)
    for node in nodes:
        stream = await transport.open(node.id, ROUND_PROTOCOL)
        await stream.send(junk)
        assert await stream.receive() is None
    assert (await nodes[0].swarm.ask(QUESTION, QUICK)).outcome.answer == TRUTH[QUESTION]
