"""Two nodes with one key: they find out, both tell, and the one that started later ends, even if only one can ask."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from tests.virtual import in_virtual_time
from waggle.core.errors import PeerRefused, PeerUnreachable, RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.mesh.memory import MemoryNetwork
from waggle.mesh.packing import encode
from waggle.mesh.transport import Transport
from waggle.node.network.twins import MAX_BYTES, THEY_END, WE_END, Claim, Start, Twins, _signed
from waggle.trust.keys import NodeKey

KEY = NodeKey.generate()
STRANGER = NodeId("stranger")
EARLY, LATE = 1_000.0, 2_000.0


class Wire:
    """Both twins as those see them who look from outside: by address, under one id."""

    def __init__(self, **twins: "Side") -> None:
        self.twins = twins
        self._at: Side | None = None
        self.looks = 0

    @asynccontextmanager
    async def look_as(self) -> AsyncIterator[Transport]:
        self.looks += 1
        yield self  # type: ignore[misc]  # as much of a transport as is used

    async def connect(self, addresses: Sequence[str], *, seconds: float) -> NodeId:
        if self._at is None:  # who is connected is not dialled again
            self._at = self.twins.get(addresses[0])
        if self._at is None:
            raise PeerUnreachable("nobody is there")
        return KEY.node_id

    async def disconnect(self, peer: NodeId) -> None:
        self._at = None

    async def call(self, peer: NodeId, protocol: str, request: bytes, *, seconds: float) -> bytes:
        assert self._at is not None
        return await self._at.twins._answer(STRANGER, request)


class Side:
    """One of the two."""

    def __init__(self, wire: Wire, at: float) -> None:
        self.notes: list[str] = []
        self.ended = 0
        self.twins = Twins(KEY, note=self.notes.append, end=self._end, look_as=wire.look_as, wall=lambda: at)

    def _end(self) -> None:
        self.ended += 1


def pair() -> tuple[Wire, Side, Side]:
    """The earlier one at the address a, the later one at b."""
    wire = Wire()
    wire.twins = {"a": Side(wire, EARLY), "b": Side(wire, LATE)}
    return wire, wire.twins["a"], wire.twins["b"]


async def look(side: Side, *addresses: str, seconds: float = 1.0) -> None:
    """It sees a sign of somebody there, and has some time to look."""
    side.twins.sight(addresses)
    looking = asyncio.create_task(side.twins.run())
    await asyncio.sleep(seconds)
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)


@in_virtual_time
async def test_the_later_one_ends_when_it_finds_the_earlier_one() -> None:
    _, early, late = pair()
    await look(late, "nowhere", "a")
    assert (late.ended, str(late.twins.fault), early.ended) == (1, WE_END, 0)
    assert (early.notes, early.twins.fault) == ([THEY_END], None)


@in_virtual_time
async def test_the_earlier_one_stays_says_so_and_ends_the_later_one_that_cannot_ask() -> None:
    _, early, late = pair()
    await look(early, "b")
    assert (early.ended, early.notes) == (0, [THEY_END])
    assert (late.ended, str(late.twins.fault)) == (1, WE_END)


@in_virtual_time
async def test_both_looking_at_once_end_exactly_one() -> None:
    _, early, late = pair()
    await asyncio.gather(look(early, "b"), look(late, "a"))
    assert (early.ended, late.ended) == (0, 1)


@in_virtual_time
async def test_starts_in_the_same_millisecond_are_told_apart_by_chance() -> None:
    wire = Wire()
    sides = [Side(wire, EARLY), Side(wire, EARLY)]
    wire.twins = {"a": sides[0], "b": sides[1]}
    await look(sides[0], "b")
    await look(sides[1], "a")
    assert sum(side.ended for side in sides) == 1


@in_virtual_time
async def test_an_old_advert_of_ours_ends_nobody() -> None:
    _, early, _ = pair()
    await look(early, "a", "nowhere")
    assert (early.ended, early.notes, early.twins.fault) == (0, [], None)


@in_virtual_time
async def test_a_twin_behind_an_address_of_our_own_is_found() -> None:
    _, _, late = pair()
    await look(late, "b", "a")
    assert late.ended == 1


@in_virtual_time
async def test_signs_that_lead_nowhere_are_followed_more_and_more_seldom() -> None:
    wire, early, _ = pair()
    looking = asyncio.create_task(early.twins.run())
    for _ in range(3_600):
        early.twins.sight(["nowhere"])
        await asyncio.sleep(1)
    looking.cancel()
    assert 5 < wire.looks < 20


@pytest.mark.parametrize("what", ["garbage", "of a stranger", "for another start", "later than ours"])
@in_virtual_time
async def test_nothing_but_an_earlier_owner_of_the_key_ends_a_node(what: str) -> None:
    _, early, late = pair()
    ours, theirs = late.twins.start, early.twins.start
    claims = {
        "garbage": b"\xc1",
        "of a stranger": _claim(theirs, NodeKey.generate(), ours),
        "for another start": _claim(theirs, KEY, Start(ours.at, b"\0" * 16)),
    }
    if what == "later than ours":
        later = Start(ours.at + 1, b"\0" * 16)
        assert await late.twins._answer(STRANGER, _claim(later, KEY, ours)) == b""
    else:
        with pytest.raises(RemoteProtocolError):
            await late.twins._answer(STRANGER, claims[what])
    assert (late.ended, late.twins.fault) == (0, None)


def _claim(speaker: Start, key: NodeKey, hearer: Start) -> bytes:
    return encode(Claim(speaker, key.sign(_signed(hearer, speaker))), MAX_BYTES)


@in_virtual_time
async def test_strangers_are_told_no_more_than_the_start() -> None:
    network = MemoryNetwork(0)
    node, asker = network.join(KEY.node_id), network.join(NodeKey.generate().node_id)
    side = Side(Wire(), EARLY)
    await side.twins.serve(node)
    await asker.connect([f"/memory/{node.node_id}/p2p/{node.node_id}"])
    reply = await asker.call(KEY.node_id, "/waggle/twin/1", b"")
    assert reply == encode(side.twins.start, MAX_BYTES)
    with pytest.raises(PeerRefused):
        await asker.call(KEY.node_id, "/waggle/twin/1", b"x" * 10_000)
    assert side.ended == 0
