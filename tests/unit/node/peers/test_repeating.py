"""Whatever one peer says again and again, on whichever side of a round's stream: it ends, and holds little."""

import asyncio
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from tests.unit.mesh.pipes import PipeEnd, pipe
from tests.unit.mesh.wire_samples import SAMPLES
from tests.virtual import in_virtual_time
from waggle.core.engine_values import JudgeMethod, Sampling
from waggle.core.errors import PeerUnreachable
from waggle.core.ids import NodeId, RoundId
from waggle.core.round_effects import AskBallot, AskProposal, Brief, Pair
from waggle.core.round_values import Plan
from waggle.engines.script import Conduct, Hanger, Honest, Script
from waggle.engines.scripted import ScriptedEngine
from waggle.mesh.channel import SignedChannel
from waggle.mesh.memory import MemoryNetwork
from waggle.mesh.messages import ROUND_PROTOCOL, CastBallot, Message, PleaseJudge, PleasePropose, PleaseStop, StillHere
from waggle.node.peers.heartbeat import BEAT_SECONDS, Hearing
from waggle.node.peers.participant import MAX_PAIRS, Participant
from waggle.node.peers.remote import RemoteWorker
from waggle.node.rounds.admission import Admission
from waggle.node.rounds.work import NodeWork
from waggle.testing.clock import VirtualClock
from waggle.trust.keys import NodeKey

ANN, BEE = NodeKey.from_seed(b"ann".ljust(32)), NodeKey.from_seed(b"bee".ljust(32))
ROUND = "ab" * 16
TIMES = 5_000
BALLOT = AskBallot(
    judge=BEE.node_id,
    brief=Brief(question="q", max_tokens=1),
    pair=Pair(first=0, second=1, first_text="a", second_text="b", method=JudgeMethod.AUTO, seed=0),
)
PROPOSAL = AskProposal(node=BEE.node_id, sampling=Sampling(), brief=Brief(question="q", max_tokens=1))
PROPOSE = PleasePropose(
    ask=AskProposal(node=BEE.node_id, brief=Brief(question="q", max_tokens=8), sampling=Sampling()), seconds=600.0
)


def varied(message: Message) -> Iterator[Message]:
    """The same again and again, with other pairs where pairs are in it."""
    for number in range(TIMES):
        match message:
            case PleaseJudge():
                yield replace(message, pairs=(replace(message.pairs[0], seed=number),) * 64)
            case CastBallot():
                ballot = replace(message.ballot, judge=BEE.node_id, first=number % 64, second=(number // 64) % 64)
                yield replace(message, ballot=ballot)
            case _:
                yield message


async def says(channel: SignedChannel, first: list[Message], message: Message) -> tuple[int, int]:
    """Say it until the other side ends it; how often it was said, and the most tasks there were meanwhile."""
    said = tasks = 0
    try:
        for one in first:
            await channel.send(one)
        await asyncio.sleep(1.0)
        for one in varied(message):
            await channel.send(one)
            said, tasks = said + 1, max(tasks, len(asyncio.all_tasks()))
            await asyncio.sleep(0)
    except PeerUnreachable:
        pass
    return said, tasks


@pytest.mark.parametrize("begun", [False, True], ids=["at first", "in a round"])
@pytest.mark.parametrize("conduct", [Honest(), Hanger()], ids=["quick", "hanging"])
@pytest.mark.parametrize("kind", SAMPLES)
@in_virtual_time
async def test_a_coordinator_that_says_one_thing_without_end_is_ended(kind: str, conduct: Conduct, begun: bool) -> None:
    engine = ScriptedEngine(Script(name="bee", conduct=conduct), {}, clock=VirtualClock())
    work = NodeWork({"": engine}, Admission(capacity=4, queue=16, queue_per_asker=16))
    network = MemoryNetwork(0)
    ours, theirs = network.join(ANN.node_id), network.join(BEE.node_id)
    await Participant(BEE, work).serve(theirs)
    await ours.connect(await theirs.addresses())
    channel = SignedChannel(await ours.open(BEE.node_id, ROUND_PROTOCOL), ANN, ROUND)
    said, tasks = await says(channel, [PROPOSE] if begun else [], SAMPLES[kind])
    assert said < TIMES
    assert tasks <= MAX_PAIRS + 10


@pytest.mark.parametrize("kind", SAMPLES)
@in_virtual_time
async def test_a_participant_that_says_one_thing_without_end_is_ended(kind: str) -> None:
    ours, theirs = pipe(ANN.node_id, BEE.node_id)

    async def opened(node: NodeId) -> PipeEnd:
        return ours

    plan = Plan(round_id=RoundId(ROUND), question="q", proposers=(), judges=())
    worker = RemoteWorker(BEE.node_id, plan, ANN, opened)
    pairs = [(first, second) for first in range(8) for second in range(8) if first != second]
    proposing = asyncio.create_task(worker.propose(PROPOSAL))
    judging = [
        asyncio.create_task(worker.judge(replace(BALLOT, pair=replace(BALLOT.pair, first=a, second=b))))
        for a, b in pairs
    ]
    said, _ = await says(SignedChannel(theirs, BEE, ROUND), [], SAMPLES[kind])
    await worker.close()
    await asyncio.gather(proposing, *judging, return_exceptions=True)
    assert said < 100


@pytest.mark.parametrize("at_once", [1, 3])
@in_virtual_time
async def test_beats_that_are_due_end_nothing_also_where_a_link_brings_several_at_once(at_once: int) -> None:
    ours, theirs = pipe(ANN.node_id, BEE.node_id)
    hearing, beating = Hearing(SignedChannel(ours, ANN, ROUND)), SignedChannel(theirs, BEE, ROUND)
    listening = asyncio.create_task(hearing.next())
    for beat in range(1, 600):
        await asyncio.sleep(0.0 if beat % at_once else at_once * BEAT_SECONDS)
        await beating.send(StillHere())
    await beating.send(PleaseStop())
    assert await listening == PleaseStop()
