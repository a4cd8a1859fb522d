"""A signed channel takes exactly the next envelope of its peer, and ends at the first that breaks a rule."""

import asyncio

import pytest

from tests.unit.mesh.pipes import PipeEnd, Stuck
from tests.unit.mesh.pipes import pipe as joined
from tests.unit.mesh.wire_samples import KEY, NODE, ROUND, SAMPLES
from waggle.core.errors import LocalProtocolError, PeerUnreachable, RemoteProtocolError
from waggle.core.failures import Cause, Failure
from waggle.core.ids import NodeId
from waggle.core.round_values import Ballot, Promise, Proposal, Reveal
from waggle.mesh.channel import MAX_UNSENT, SEND_SECONDS, SLOWEST_BYTES_PER_SECOND, SignedChannel
from waggle.mesh.codec import seal
from waggle.mesh.limits import MAX_FRAME_BYTES
from waggle.mesh.messages import CannotPropose, CastBallot, Committed, Message, PleaseReveal, Revealed, StillHere
from waggle.testing.clock import run_virtual
from waggle.trust.keys import NodeKey

BEE = NodeKey.from_seed(b"bee".ljust(32))
COMMITTED = Committed(promise=Promise(digest="ab" * 32))
BALLOT = CastBallot(ballot=Ballot(judge=NodeId("n"), first=0, second=1, p=0.5))


def pipe() -> tuple[PipeEnd, PipeEnd]:
    """Two joined ends: KEY's, whose peer is BEE, and BEE's."""
    return joined(NODE, BEE.node_id)


def channels(ours: list[bytes] | None = None, theirs: list[bytes] | None = None) -> tuple[SignedChannel, SignedChannel]:
    here, there = pipe()
    return (
        SignedChannel(here, KEY, ROUND, (ours if ours is not None else []).append),
        SignedChannel(there, BEE, ROUND, (theirs if theirs is not None else []).append),
    )


def said(*numbers: int, round_id: str = ROUND, key: NodeKey = BEE) -> list[bytes]:
    return [seal(key, StillHere(), round_id=round_id, seq=number) for number in numbers]


# --- honest ---------------------------------------------------------------------------------------------------------


async def test_all_kinds_of_messages_arrive_in_order_both_ways() -> None:
    here, there = channels()
    for message in SAMPLES.values():
        await here.send(message)
        await there.send(message)
    for message in SAMPLES.values():
        assert await there.receive() == message
        assert await here.receive() == message
    await here.close()
    await here.close()
    assert await there.receive() is None


async def test_both_sides_have_one_transcript_in_the_order_of_cause() -> None:
    ours: list[bytes] = []
    theirs: list[bytes] = []
    here, there = channels(ours, theirs)
    await here.send(PleaseReveal())
    assert await there.receive()
    await there.send(COMMITTED)
    assert await here.receive()
    await here.send(BALLOT)
    assert await there.receive()
    assert ours == theirs
    assert ours == [
        seal(KEY, PleaseReveal(), round_id=ROUND, seq=0),
        seal(BEE, COMMITTED, round_id=ROUND, seq=0),
        seal(KEY, BALLOT, round_id=ROUND, seq=1),
    ]


async def test_tasks_that_send_at_once_share_one_numbering() -> None:
    here, there = channels()
    ballots = [CastBallot(ballot=Ballot(judge=NodeId("n"), first=number, second=63, p=0.5)) for number in range(40)]
    await asyncio.gather(*(here.send(ballot) for ballot in ballots))
    arrived = [await there.receive() for _ in ballots]
    assert set(arrived) == set(ballots)


async def test_the_side_that_was_called_learns_the_round_from_the_first_envelope() -> None:
    here, there = pipe()
    caller, called = SignedChannel(here, KEY, ROUND), SignedChannel(there, BEE, None)
    with pytest.raises(LocalProtocolError):
        await called.send(COMMITTED)
    await caller.send(PleaseReveal())
    assert await called.receive() == PleaseReveal()
    assert called.round_id == ROUND
    await called.send(COMMITTED)
    assert await caller.receive() == COMMITTED


async def test_a_second_round_on_one_stream_is_refused() -> None:
    _, there = pipe()
    called = SignedChannel(there, BEE, None)
    for frame in said(0, key=KEY) + said(1, key=KEY, round_id="f" * 32):
        there.arrived.put_nowait(frame)
    assert await called.receive() == StillHere()
    with pytest.raises(RemoteProtocolError, match="another round"):
        await called.receive()


async def test_a_refused_first_envelope_does_not_settle_the_round() -> None:
    _, there = pipe()
    called = SignedChannel(there, BEE, None)
    there.arrived.put_nowait(said(1, key=KEY)[0])
    with pytest.raises(RemoteProtocolError, match="number 1 where 0 is due"):
        await called.receive()
    with pytest.raises(LocalProtocolError):
        _ = called.round_id


# --- what is due ----------------------------------------------------------------------------------------------------


async def test_what_is_expected_is_given() -> None:
    here, there = channels()
    await there.send(COMMITTED)
    await there.send(CannotPropose(failure=Failure(Cause.UNAVAILABLE, "full")))
    await there.send(BALLOT)
    one: Committed = await here.expect(Committed)
    two: Committed | CannotPropose = await here.expect(Committed, CannotPropose)
    three: Committed | Revealed | CastBallot = await here.expect(Committed, Revealed, CastBallot)
    assert (one, two, three) == (COMMITTED, CannotPropose(failure=Failure(Cause.UNAVAILABLE, "full")), BALLOT)


async def test_a_message_that_is_not_due_ends_the_channel() -> None:
    here, there = channels()
    await there.send(BALLOT)
    with pytest.raises(RemoteProtocolError, match="not due"):
        await here.expect(Committed, Revealed)
    assert await there.receive() is None
    with pytest.raises(PeerUnreachable):
        await there.send(BALLOT)


async def test_an_end_where_an_answer_was_due_is_not_held_against_the_peer() -> None:
    here, there = channels()
    await there.close()
    with pytest.raises(PeerUnreachable, match="ended the stream"):
        await here.expect(Committed)


# --- hostile --------------------------------------------------------------------------------------------------------

FAULTS = {
    "replayed": said(0, 0),
    "re-ordered": said(0, 2, 1),
    "one lost": said(0, 2),
    "of another round": said(0) + said(1, round_id="f" * 32),
    "by somebody else": said(0) + said(1, key=NodeKey.from_seed(bytes(32))),
    "our own, sent back": said(0) + said(1, key=KEY),
    "empty": [*said(0), b""],
    "garbage": [*said(0), b"\xc1" * 100],
    "cut": [*said(0), said(1)[0][:-1]],
    "oversize": [*said(0), bytes(MAX_FRAME_BYTES + 1)],
    "badly signed": [*said(0), said(1)[0][:-1] + bytes([said(1)[0][-1] ^ 1])],
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_envelope_that_breaks_a_rule_ends_the_channel_and_changes_nothing(fault: str) -> None:
    here, there = pipe()
    record: list[bytes] = []
    channel = SignedChannel(here, KEY, ROUND, record.append)
    frames = FAULTS[fault]
    for frame in [*frames, *said(1)]:  # after the fault comes what would have been right
        here.arrived.put_nowait(frame)
    assert await channel.receive() == StillHere()
    with pytest.raises(RemoteProtocolError, match=str(BEE.node_id)):
        await channel.receive()
    assert record == frames[:1]
    assert here.closed
    assert await there.receive() is None
    with pytest.raises(PeerUnreachable, match="broke a rule"):
        await channel.receive()
    with pytest.raises(PeerUnreachable):
        await channel.send(StillHere())


async def test_an_oversize_frame_that_the_stream_refuses_ends_the_channel() -> None:
    class Refusing(PipeEnd):
        async def receive(self) -> bytes | None:
            raise RemoteProtocolError("a frame beyond the limit")

    here = Refusing(BEE.node_id)
    with pytest.raises(RemoteProtocolError):
        await SignedChannel(here, KEY, ROUND).receive()
    assert here.closed


async def test_others_get_their_turn_while_messages_wait() -> None:
    """Whatever is there to be read: who reads all of it at once would keep the loop for seconds."""
    here, _ = pipe()
    channel = SignedChannel(here, KEY, ROUND)
    for frame in said(*range(1_000)):
        here.arrived.put_nowait(frame)
    heard = turns = 0

    async def hear() -> None:
        nonlocal heard
        for _ in range(1_000):
            assert await channel.receive()
            heard += 1

    hearing = asyncio.create_task(hear())
    longest = 0
    while not hearing.done():
        before = heard
        await asyncio.sleep(0)
        longest, turns = max(longest, heard - before), turns + 1
    assert heard == 1_000
    assert longest <= 16
    assert turns >= 60


@pytest.mark.parametrize(
    "message",
    [BALLOT, Revealed(reveal=Reveal(proposal=Proposal(node=NodeId("n"), answer="a" * 64_000), nonce="ab" * 16))],
    ids=["short", "long"],
)
def test_whoever_takes_nothing_loses_the_stream(message: Message) -> None:
    async def run() -> float:
        here = Stuck(BEE.node_id)
        channel = SignedChannel(here, KEY, ROUND)
        sends = [asyncio.create_task(channel.send(message)) for _ in range(3)]
        await asyncio.wait(sends)
        assert all(isinstance(send.exception(), PeerUnreachable) for send in sends)
        assert here.closed
        assert await channel.receive() is None
        return asyncio.get_running_loop().time()

    assert SEND_SECONDS <= run_virtual(run()) <= SEND_SECONDS + 2


def test_the_largest_message_has_a_minute_on_a_slow_link() -> None:
    """The other end gives a frame that has begun as long."""
    assert 60 <= SEND_SECONDS + MAX_FRAME_BYTES / SLOWEST_BYTES_PER_SECOND <= 80


def test_messages_that_wait_to_be_sent_are_bounded() -> None:
    async def run() -> None:
        here = Stuck(BEE.node_id)
        channel = SignedChannel(here, KEY, ROUND)
        sends = [asyncio.create_task(channel.send(BALLOT)) for _ in range(MAX_UNSENT)]
        await asyncio.sleep(0)
        assert not here.closed
        with pytest.raises(PeerUnreachable, match="takes nothing"):
            await channel.send(BALLOT)
        assert here.closed
        for send in sends:
            send.cancel()
        await asyncio.gather(*sends, return_exceptions=True)

    run_virtual(run())


# --- our own faults -------------------------------------------------------------------------------------------------


async def test_a_message_that_breaks_a_rule_is_not_sent_and_takes_no_number() -> None:
    ours: list[bytes] = []
    here, there = channels(ours)
    with pytest.raises(LocalProtocolError):
        await here.send(CastBallot(ballot=Ballot(judge=NodeId("n"), first=0, second=1, p=float("nan"))))
    assert ours == []
    await here.send(BALLOT)
    assert await there.receive() == BALLOT


async def test_a_send_that_is_cancelled_half_way_ends_the_sending() -> None:
    """Whether the frame went out is not known, so no number fits the next one."""

    class Slow(PipeEnd):
        async def send(self, frame: bytes) -> None:
            await asyncio.sleep(1000)

    channel = SignedChannel(Slow(BEE.node_id), KEY, ROUND)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await channel.send(BALLOT)
    with pytest.raises(PeerUnreachable, match="not sent in full"):
        await channel.send(BALLOT)


async def test_a_wait_that_is_cancelled_loses_nothing() -> None:
    here, there = channels()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await here.receive()
    await there.send(BALLOT)
    assert await here.receive() == BALLOT
