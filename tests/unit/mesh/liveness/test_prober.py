"""Pings: what a lost one, a rumour and a silent helper do, on a small simulated network."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.swarm.members import Crowd
from waggle.mesh.liveness.pace import Pace
from waggle.mesh.liveness.pings import Hint
from waggle.mesh.liveness.prober import LATE_SECONDS, Prober
from waggle.mesh.memory import Conditions
from waggle.testing.clock import run_virtual

LOST = Conditions(loss=1.0)
SELDOM = Pace(ping_every=1_000.0)
"""Nobody is pinged by turns, only when a test begins it."""


def prober_of(crowd: Crowd, number: int) -> Prober:
    return crowd.nodes[number]._upkeep.prober


def tell(crowd: Crowd, number: int, about: int, informer: int = 0) -> None:
    """Let a node hear that another is silent."""
    peer = crowd.nodes[number].peer(crowd.id(about))
    assert peer is not None
    hint = Hint(crowd.id(about), peer.advert.incarnation)
    prober_of(crowd, number).hear([hint], crowd.id(informer), asyncio.get_running_loop().time())


def lose(crowd: Crowd, source: int, target: int, conditions: Conditions | None = LOST) -> None:
    """Lose all messages of one direction, or none again."""
    crowd.network.set_way(crowd.id(source), crowd.id(target), conditions)


def in_a_crowd(scenario: Callable[[Crowd], Awaitable[None]]) -> None:
    """Run it among five nodes that know each other and are quiet."""

    async def run() -> None:
        crowd = Crowd(pace=SELDOM)
        await crowd.start(5)
        await crowd.until(crowd.whole, 30)
        await asyncio.sleep(5)
        await scenario(crowd)
        await crowd.stop()

    run_virtual(run())


def test_a_rumour_and_one_lost_ping_make_nobody_suspect() -> None:
    async def scenario(crowd: Crowd) -> None:
        lose(crowd, 1, 2)
        tell(crowd, 1, about=2)
        await asyncio.sleep(LATE_SECONDS / 2)
        pulse = crowd.nodes[1]._upkeep.watch.pulse(crowd.id(2))
        assert pulse is not None
        asked_at = pulse.asked_at
        lose(crowd, 1, 2, None)
        for _ in range(60):
            await asyncio.sleep(0.05)
            assert crowd.id(2) in crowd.usable(1)
        assert pulse.asked_at > asked_at > 0

    in_a_crowd(scenario)


def test_a_rumour_and_two_lost_pings_make_suspect_and_are_told_on() -> None:
    async def scenario(crowd: Crowd) -> None:
        lose(crowd, 1, 2)
        tell(crowd, 1, about=2)
        seconds = await crowd.until(lambda: crowd.id(2) not in crowd.usable(1), 5)
        assert seconds < LATE_SECONDS + Pace().ping_seconds + 0.1
        assert [hint.node for hint in crowd.nodes[1]._upkeep.watch.hints()] == [crowd.id(2)]
        await asyncio.sleep(0.5)
        others = (crowd.nodes[number]._upkeep.watch.pulse(crowd.id(2)) for number in (0, 3, 4))
        assert all(pulse is not None and pulse.doubted_at > 0 for pulse in others)
        assert all(crowd.id(2) in crowd.usable(number) for number in (0, 3, 4)), "hearsay alone made it suspect"

    in_a_crowd(scenario)


def test_a_rumour_that_comes_while_the_node_is_being_asked_is_not_used_up() -> None:
    async def scenario(crowd: Crowd) -> None:
        prober, watch = prober_of(crowd, 1), crowd.nodes[1]._upkeep.watch
        lose(crowd, 1, 2)
        prober._start(crowd.id(2), prober._probe)
        await asyncio.sleep(0.1)
        tell(crowd, 1, about=2)
        pulse = watch.pulse(crowd.id(2))
        assert pulse is not None
        assert pulse.doubted_at < 0

    in_a_crowd(scenario)


def test_a_silent_node_is_unusable_before_silent_helpers_have_had_their_time() -> None:
    async def scenario(crowd: Crowd) -> None:
        prober = prober_of(crowd, 1)
        for number in (0, 2, 3, 4):
            lose(crowd, number, 1)
        prober._start(crowd.id(2), prober._probe)
        seconds = await crowd.until(lambda: crowd.id(2) not in crowd.usable(1), 10)
        assert seconds < LATE_SECONDS + Pace().ping_seconds + 0.1

    in_a_crowd(scenario)


def test_who_answers_a_helper_is_given_longer() -> None:
    async def scenario(crowd: Crowd) -> None:
        prober, watch = prober_of(crowd, 1), crowd.nodes[1]._upkeep.watch
        lose(crowd, 1, 2)
        prober._start(crowd.id(2), prober._probe)
        await asyncio.sleep(3)
        pulse = watch.pulse(crowd.id(2))
        assert pulse is not None
        assert pulse.vouched
        assert watch.hints() == ()

    in_a_crowd(scenario)
