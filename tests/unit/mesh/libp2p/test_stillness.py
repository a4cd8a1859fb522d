"""Two nodes agree on a moment with nothing under way between them: on a virtual clock, without a network."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.virtual import in_virtual_time
from waggle.core.errors import MeshError, PeerBusy, PeerRefused, PeerUnreachable, RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.mesh.libp2p.stillness import GO_ON, HOLD_SECONDS, STAND_STILL, Stillness
from waggle.mesh.transport import Link

ANN, BOB = NodeId("ann"), NodeId("bob")
WAY_SECONDS = 0.1


class End:
    """One end of a link; `fault` is what asking the other end comes to, if not its answer."""

    def __init__(self, node: NodeId) -> None:
        self.node = node
        self.other: End | None = None
        self.peers_calls = 0
        self.linked = True
        self.fault: MeshError | RemoteProtocolError | None = None
        self.asked: list[bytes] = []
        self.on_ask: Callable[[], None] = lambda: None
        self.stillness = Stillness(self._serving, self._ask, self._links)

    @property
    def peer(self) -> NodeId:
        return BOB if self.node == ANN else ANN

    def _serving(self, _: NodeId, besides: int) -> bool:
        return self.peers_calls > besides

    async def _links(self) -> tuple[Link, ...]:
        return (Link(peer=self.peer),) if self.linked else ()

    async def _ask(self, peer: NodeId, request: bytes, seconds: float) -> None:
        """The other end's answer, WAY_SECONDS each way, its guard counting this very call."""
        assert self.other is not None
        self.asked.append(request)
        if self.fault is not None:
            raise self.fault
        async with asyncio.timeout(seconds):
            await asyncio.sleep(WAY_SECONDS)
            self.other.peers_calls += 1
            try:
                await self.other.stillness.serve(self.node, request)
            finally:
                self.other.peers_calls -= 1
                self.on_ask()
                await asyncio.sleep(WAY_SECONDS)

    async def begin(self, seconds: float = 10.0) -> float:
        """Begin something with the other end; gives when it could."""
        await self.stillness.passed(self.peer, seconds)
        with self.stillness.beginning(self.peer):
            return asyncio.get_running_loop().time()


def ends() -> tuple[End, End]:
    ann, bob = End(ANN), End(BOB)
    ann.other, bob.other = bob, ann
    return ann, bob


async def is_still(end: End) -> bool:
    async with end.stillness.standing_still(end.peer) as still:
        return still


@in_virtual_time
async def test_what_is_begun_while_both_stand_still_waits_at_either_end_until_it_is_over() -> None:
    ann, bob = ends()
    async with ann.stillness.standing_still(BOB) as still:
        assert still
        beginning = [asyncio.create_task(end.begin()) for end in (ann, bob)]
        await asyncio.sleep(0.5)
        assert not any(task.done() for task in beginning)
        over = asyncio.get_running_loop().time()
    ann_began, bob_began = await asyncio.gather(*beginning)
    assert ann_began == over
    assert bob_began == pytest.approx(over + WAY_SECONDS)
    assert ann.asked == [STAND_STILL, GO_ON]


@pytest.mark.parametrize("busy", [ANN, BOB])
@pytest.mark.parametrize("how", ["begun", "serving"])
@in_virtual_time
async def test_nobody_stands_still_where_something_is_under_way_at_either_end(busy: NodeId, how: str) -> None:
    ann, bob = ends()
    end = ann if busy == ANN else bob
    if how == "serving":
        end.peers_calls = 1
        assert not await is_still(ann)
    else:
        with end.stillness.beginning(end.peer):
            assert not await is_still(ann)
    assert await asyncio.gather(ann.begin(), bob.begin())  # and nobody waits


@in_virtual_time
async def test_what_a_peer_began_before_it_agreed_is_seen_when_it_has() -> None:
    ann, _ = ends()
    ann.on_ask = lambda: setattr(ann, "peers_calls", 1)
    assert not await is_still(ann)


@in_virtual_time
async def test_of_two_that_want_it_at_once_neither_gets_it_and_nobody_waits_afterwards() -> None:
    ann, bob = ends()
    assert list(await asyncio.gather(is_still(ann), is_still(bob))) == [False, False]
    began = asyncio.get_running_loop().time()
    assert list(await asyncio.gather(ann.begin(), bob.begin())) == [began, began]


@in_virtual_time
async def test_whoever_is_never_told_to_go_on_does_so_by_itself() -> None:
    _, bob = ends()
    await bob.stillness.serve(ANN, STAND_STILL)
    assert await bob.begin() == pytest.approx(asyncio.get_running_loop().time(), abs=1e-9)
    assert asyncio.get_running_loop().time() == pytest.approx(HOLD_SECONDS)


@in_virtual_time
async def test_a_peer_that_asks_again_and_again_holds_each_call_up_only_once() -> None:
    _, bob = ends()

    async def insist() -> None:
        while True:
            try:
                await bob.stillness.serve(ANN, STAND_STILL)
            except PeerBusy:
                await asyncio.sleep(0)
            await asyncio.sleep(0.01)

    insisting = asyncio.create_task(insist())
    for _ in range(5):
        asked = asyncio.get_running_loop().time()
        assert await bob.begin() - asked <= HOLD_SECONDS + 0.01
    insisting.cancel()


@in_virtual_time
async def test_a_call_that_has_less_time_than_that_fails_in_its_own_time() -> None:
    _, bob = ends()
    await bob.stillness.serve(ANN, STAND_STILL)
    with pytest.raises(PeerUnreachable, match=r"within 0\.5 s"):
        await bob.begin(seconds=0.5)
    assert asyncio.get_running_loop().time() == pytest.approx(0.5)
    assert not bob.stillness.busy(ANN)


@in_virtual_time
async def test_a_block_that_outlasts_the_hold_holds_nobody_up_any_longer() -> None:
    ann, bob = ends()
    async with ann.stillness.standing_still(BOB) as still:
        assert still
        began = await asyncio.gather(ann.begin(), bob.begin())
    assert max(began) <= HOLD_SECONDS + WAY_SECONDS


@pytest.mark.parametrize(
    ("fault", "agreed"),
    [(PeerRefused("unknown"), True), (PeerUnreachable("lost"), False), (RemoteProtocolError("nonsense"), False)],
)
@in_virtual_time
async def test_a_peer_that_knows_nothing_of_this_agrees_and_a_silent_one_does_not(
    fault: MeshError | RemoteProtocolError, agreed: bool
) -> None:
    ann, _ = ends()
    ann.fault = fault
    assert await is_still(ann) is agreed
    assert ann.asked == ([STAND_STILL, GO_ON] if agreed else [STAND_STILL])


@in_virtual_time
async def test_a_peer_whose_link_is_not_back_is_not_dialled_to_tell_it() -> None:
    ann, _ = ends()
    async with ann.stillness.standing_still(BOB):
        ann.linked = False
    assert ann.asked == [STAND_STILL]


@in_virtual_time
async def test_a_block_that_fails_leaves_nobody_waiting() -> None:
    ann, bob = ends()
    with pytest.raises(PeerUnreachable):
        async with ann.stillness.standing_still(BOB):
            raise PeerUnreachable("nobody there")
    assert await ann.begin() == pytest.approx(2 * WAY_SECONDS)
    assert await bob.begin() <= HOLD_SECONDS + WAY_SECONDS + 1e-9


@in_virtual_time
async def test_a_peer_cannot_end_a_pause_that_it_did_not_ask_for_without_our_noticing() -> None:
    ann, _ = ends()
    told: list[Awaitable[bytes]] = []

    def tell() -> None:
        if not told:
            told.append(asyncio.ensure_future(ann.stillness.serve(BOB, GO_ON)))

    ann.on_ask = tell
    assert not await is_still(ann)
    await asyncio.gather(*told)
