"""A question asked of others ends in its budget, whatever the node that is asked says or leaves unsaid."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.virtual import in_virtual_time
from waggle.core.asking import AskOptions
from waggle.core.errors import MeshError, PeerUnreachable
from waggle.core.ids import NodeId, RoundId
from waggle.core.round_values import Budget, DeadlinePassed, Plan, RoundStarted, Standing
from waggle.mesh.channel import SignedChannel
from waggle.mesh.memory import MemoryNetwork
from waggle.mesh.messages import ASK_PROTOCOL, Happened, Planned, PleaseAnswer, StillHere
from waggle.mesh.transport import Stream
from waggle.node.peers.client import SPARE_SECONDS, Client, request_of
from waggle.trust.keys import NodeKey

SECONDS = 8.0
Conduct = Callable[[SignedChannel, PleaseAnswer], Awaitable[None]]


async def says_nothing(channel: SignedChannel, asked: PleaseAnswer) -> None:
    await asyncio.sleep(3_600.0)


async def is_still_here(channel: SignedChannel, asked: PleaseAnswer) -> None:
    while True:
        await channel.send(StillHere())
        await asyncio.sleep(2.0)


async def begins_and_is_still_here(channel: SignedChannel, asked: PleaseAnswer) -> None:
    await begin(channel, asked)
    await is_still_here(channel, asked)


async def tells_of_deadlines_for_ever(channel: SignedChannel, asked: PleaseAnswer) -> None:
    await begin(channel, asked)
    while True:
        await channel.send(Happened(event=DeadlinePassed(at=0.1, phase="hedge", node=NodeId("bee"))))
        await asyncio.sleep(0.5)


async def floods_with_deadlines(channel: SignedChannel, asked: PleaseAnswer) -> None:
    await begin(channel, asked)
    while True:
        await channel.send(Happened(event=DeadlinePassed(at=0.1, phase="hedge", node=NodeId("bee"))))
        await asyncio.sleep(0.01)


async def begin(channel: SignedChannel, asked: PleaseAnswer) -> None:
    plan = Plan(round_id=RoundId(asked.request), question="q", proposers=(Standing(node=NodeId("bee")),), judges=())
    await channel.send(Planned(plan=plan))
    await channel.send(Happened(event=RoundStarted()))


@pytest.mark.parametrize(
    "conduct",
    [says_nothing, is_still_here, begins_and_is_still_here, tells_of_deadlines_for_ever, floods_with_deadlines],
)
def test_a_question_ends_in_its_budget_whatever_the_coordinator_does(conduct: Conduct) -> None:
    ends, tried = ask_of([conduct] * 3)
    assert ends <= SECONDS + SPARE_SECONDS
    assert tried == (2 if conduct is says_nothing else 1), "7 s of silence are the only loss that leaves time"


def test_who_says_at_once_that_it_cannot_leaves_the_time_to_the_others() -> None:
    async def cannot(channel: SignedChannel, asked: PleaseAnswer) -> None:
        raise MeshError("out of order")

    ends, tried = ask_of([cannot, cannot, is_still_here])
    assert ends <= SECONDS + SPARE_SECONDS
    assert tried == 3


@in_virtual_time
async def ask_of(conducts: list[Conduct]) -> tuple[float, int]:
    """When a question to such nodes ended, and how many of them were asked."""
    tried: set[str] = set()

    def handler(key: NodeKey, conduct: Conduct) -> Callable[[Stream], Awaitable[None]]:
        async def serve(stream: Stream) -> None:
            tried.add(key.node_id)
            channel = SignedChannel(stream, key, None)
            await conduct(channel, await channel.expect(PleaseAnswer))

        return serve

    network = MemoryNetwork(0)
    keys = [NodeKey.from_seed(bytes([number]) * 32) for number in range(len(conducts))]
    asker = NodeKey.from_seed(b"asker".ljust(32))
    transport = network.join(asker.node_id)
    for key, conduct in zip(keys, conducts, strict=True):
        node = network.join(key.node_id)
        await node.serve_streams(ASK_PROTOCOL, handler(key, conduct))
        await transport.connect(await node.addresses())
    options = AskOptions(budget=Budget(seconds=SECONDS))
    with pytest.raises(PeerUnreachable):
        await Client(transport, asker).ask([key.node_id for key in keys], request_of("q", options))
    return asyncio.get_running_loop().time(), len(tried)
