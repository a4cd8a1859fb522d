"""Appointments happen at their time, in the order they were made, unless they were cancelled."""

import asyncio
from functools import partial
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from waggle.mesh.memory.agenda import FEWEST_TO_SWEEP, Agenda
from waggle.testing.clock import run_virtual


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=4 * FEWEST_TO_SWEEP))
def test_what_is_not_cancelled_happens_on_time_and_in_order(wishes: list[tuple[int, bool]]) -> None:
    async def body() -> list[tuple[float, int]]:
        agenda, happened, loop = Agenda(), list[tuple[float, int]](), asyncio.get_running_loop()
        made = [
            agenda.at(float(when), partial(lambda number: happened.append((loop.time(), number)), number))
            for number, (when, _) in enumerate(wishes)
        ]
        for appointment, (_, wanted) in zip(made, wishes, strict=True):
            if not wanted:
                agenda.cancel(appointment)
                agenda.cancel(appointment)
        await asyncio.sleep(21)
        return happened

    expected = sorted((float(when), number) for number, (when, wanted) in enumerate(wishes) if wanted)
    assert run_virtual(body()) == expected


def test_a_sweep_of_cancelled_appointments_leaves_the_others_in_order() -> None:
    async def body() -> tuple[list[int], list[int]]:
        agenda, happened, rng = Agenda(), list[int](), Random(3)
        times = [rng.uniform(0, 100) for _ in range(20 * FEWEST_TO_SWEEP)]
        made = [agenda.at(when, partial(happened.append, number)) for number, when in enumerate(times)]
        kept = set(rng.sample(range(len(times)), len(times) // 5))
        for number, appointment in enumerate(made):
            if number not in kept:
                agenda.cancel(appointment)
        assert len(agenda) < len(times) / 2
        await asyncio.sleep(101)
        return happened, sorted(kept, key=times.__getitem__)

    happened, expected = run_virtual(body())
    assert happened == expected


def test_an_action_may_make_appointments_for_now_and_for_earlier_than_all_others() -> None:
    async def body() -> list[tuple[float, str]]:
        agenda, happened, loop = Agenda(), list[tuple[float, str]](), asyncio.get_running_loop()

        def note(name: str) -> None:
            happened.append((loop.time(), name))

        def make_more() -> None:
            agenda.at(1.0, partial(note, "at once"))
            agenda.at(0.5, partial(note, "late"))
            agenda.at(2.0, partial(note, "between"))

        agenda.at(3.0, partial(note, "last"))
        agenda.at(1.0, make_more)
        await asyncio.sleep(4)
        return happened

    assert run_virtual(body()) == [(1.0, "late"), (1.0, "at once"), (2.0, "between"), (3.0, "last")]


def test_cancelled_appointments_do_not_pile_up() -> None:
    async def body() -> int:
        agenda = Agenda()
        for number in range(100 * FEWEST_TO_SWEEP):
            agenda.cancel(agenda.at(1000.0 + number, lambda: None))
        return len(agenda)

    assert run_virtual(body()) <= 2 * FEWEST_TO_SWEEP + 2
