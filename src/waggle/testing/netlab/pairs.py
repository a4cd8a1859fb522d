"""Two nodes at home, each behind its NAT box, that know each other through public nodes: the situation to get right."""

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from waggle.core.ids import NodeId
from waggle.mesh.transport import Link
from waggle.testing.netlab.lab import Lab
from waggle.testing.netlab.machine import AgentFailed, Machine
from waggle.testing.netlab.orders import (
    AwaitCircuit,
    AwaitDirect,
    Call,
    Connect,
    Links,
    Seek,
    SeekCounts,
    Start,
    Started,
)

CALL_BYTES, CALL_PAUSE_SECONDS = 32 * 1024, 0.25


class Home(Struct, frozen=True, kw_only=True):
    """A node at home: where it runs, its id, its addresses through relays, and how long it took to have them."""

    machine: Machine
    node: NodeId
    circuits: tuple[str, ...]
    reservation_seconds: float
    """From the order to start to the first address through a relay."""


async def start_public(lab: Lab, *, relays: int) -> list[Started]:
    """Start a node on every public machine; the first `relays` of them relay. Raises AgentFailed if one is unfit."""
    orders = [Start(serve_as_relay=index < relays, reachability="public") for index in range(len(lab.public))]
    started = await asyncio.gather(
        *(machine.ask(order, Started) for machine, order in zip(lab.public, orders, strict=True))
    )
    if not all(node.relays for node in started[:relays]):
        raise AgentFailed("a relay came up unfit in all its starts")
    return list(started)


async def start_home(machine: Machine, public: Sequence[Started], *, relays: int = 1) -> Home:
    """Start a node with a new key, linked to all public ones, with a place at the first `relays` of them."""
    order = Start(
        relays=tuple(node.address() for node in public[:relays]),
        contacts=tuple(node.address() for node in public),
        reachability="private",
    )
    began = asyncio.get_running_loop().time()
    started = await machine.ask(order, Started)
    circuits = await machine.ask(AwaitCircuit(relays), tuple[str, ...])
    took = asyncio.get_running_loop().time() - began
    if not circuits:
        raise AgentFailed("no relay gave a place in time")
    return Home(machine=machine, node=started.node, circuits=circuits, reservation_seconds=took)


async def start_pair(lab: Lab, public: Sequence[Started], *, relays: int = 1) -> tuple[Home, Home]:
    """Start a node on each of the lab's two home machines; they do not know each other yet."""
    first, second = await asyncio.gather(*(start_home(machine, public, relays=relays) for machine in lab.homes))
    return first, second


async def link(first: Home, second: Home, *, seek: bool = True) -> None:
    """Have the second dial the first through a relay; then both `seek` a direct link."""
    await second.machine.ask(Connect(first.circuits), str)
    if seek:
        for home, other in ((first, second), (second, first)):
            await home.machine.ask(Seek({other.node: other.circuits}), type(None))


async def link_between(home: Home, other: Home) -> Link | None:
    """The first one's link to the other."""
    links = await home.machine.ask(Links(), tuple[Link, ...])
    return next((found for found in links if found.peer == other.node), None)


class PairRun(Struct, frozen=True, kw_only=True):
    """What became of one pair; the seconds are None where they got no place at the relay, or no direct link."""

    reservation_seconds: float | None = None
    direct_seconds: float | None = None
    """From the dial to the direct link."""
    redials: int = 0
    calls: int = 0
    failures: tuple[str, ...] = ()


async def run_pair(lab: Lab, public: Sequence[Started], seconds: float, *, seek: bool = True) -> PairRun:
    """Link two new nodes and let them talk both ways until their link is direct, or `seconds` are over.

    Raises AgentFailed where a node does not start, gets no place at the relay, or cannot dial the other through it.
    """
    first, second = await start_pair(lab, public)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await link(first, second, seek=seek)
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        talks = [group.create_task(_talk(*pair, over)) for pair in ((first, second), (second, first))]
        direct = await second.machine.ask(AwaitDirect(first.node, seconds), bool, seconds=seconds + 10)
        took = loop.time() - began
        over.set()
    outcomes = [outcome for talk in talks for outcome in talk.result()]
    return PairRun(
        reservation_seconds=max(first.reservation_seconds, second.reservation_seconds),
        direct_seconds=took if direct else None,
        redials=await _redials(first) + await _redials(second),
        calls=len(outcomes),
        failures=tuple(outcome for outcome in outcomes if outcome),
    )


async def _talk(home: Home, other: Home, over: asyncio.Event) -> list[str]:
    """Call until it is over, and once more then; gives what went wrong with each call, "" where nothing did."""
    outcomes = []
    while True:
        last = over.is_set()
        outcomes.append(await _call(home, other))
        if last:
            return outcomes
        await asyncio.sleep(CALL_PAUSE_SECONDS)


async def _call(home: Home, other: Home) -> str:
    try:
        await home.machine.ask(Call(other.node, CALL_BYTES), float)
    except AgentFailed as error:
        return str(error)
    return ""


async def _redials(home: Home) -> int:
    return sum((await home.machine.ask(SeekCounts(), dict[str, int])).values())
