"""Whoever waits for an answer hears of it: at once, when something happens, and when nothing does for long."""

import asyncio

import pytest
from msgspec.structs import replace

from tests.unit.gateway.conftest import QUESTION, Play, Standstill, bees, make_play
from waggle.core.asking import AskOptions
from waggle.core.round_picture import RoundPicture
from waggle.gateway.errors import ApiError
from waggle.gateway.jobs.answering import Answerer
from waggle.gateway.jobs.values import ForSwarm
from waggle.gateway.jobs.watching import watched

NAME = "0" * 32
JOB = ForSwarm(QUESTION, AskOptions())


def made(picture: RoundPicture) -> int:
    return sum(proposer.proposal is not None for proposer in picture.proposers)


async def ignore(picture: RoundPicture | None) -> None:
    """Hear nothing."""


async def test_a_round_is_told_of_while_it_runs() -> None:
    clock, told = Standstill(), list[RoundPicture]()
    scripts = bees()
    scripts["cat"] = replace(scripts["cat"], seconds_per_call=1.0)
    play = await make_play(clock, **scripts)

    async def tell(picture: RoundPicture | None) -> None:
        if picture is not None:
            told.append(picture)
            if made(picture) == 2:
                clock.go.set()

    answer = await watched(Answerer(play.service), JOB, NAME, 60.0, tell)
    assert answer.text == "42"
    assert made(told[-1]) >= 2


async def test_a_round_in_which_nothing_happens_gives_signs_of_life() -> None:
    clock, told = Standstill(), list[RoundPicture | None]()
    play = await make_play(clock, **bees(seconds_per_call=1.0))

    async def tell(picture: RoundPicture | None) -> None:
        told.append(picture)
        if len(told) == 5:
            clock.go.set()

    await watched(Answerer(play.service), JOB, NAME, 0.05, tell)
    assert len(told) >= 5
    assert not any(picture is not None and made(picture) for picture in told[:5])


async def test_a_failure_is_passed_on(play: Play) -> None:
    with pytest.raises(ApiError, match="empty"):
        await watched(Answerer(play.service), ForSwarm(" ", AskOptions()), NAME, 5.0, ignore)


async def test_who_stops_listening_stops_the_work() -> None:
    play = await make_play(**bees(seconds_per_call=300.0))
    waiting = asyncio.create_task(watched(Answerer(play.service), JOB, NAME, 5.0, ignore))
    await play.until(3)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert waiting.cancelled()
    assert play.in_flight == 0


async def test_whoever_cannot_be_told_stops_the_work() -> None:
    play = await make_play(**bees(seconds_per_call=300.0))

    async def tell(picture: RoundPicture | None) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await watched(Answerer(play.service), JOB, NAME, 0.05, tell)
    assert play.in_flight == 0
