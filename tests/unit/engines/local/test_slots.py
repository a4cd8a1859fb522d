"""Whatever joins, leaves or moves: slots stay packed, each with its keys; and the longest known beginning is found."""

import random

import pytest
import torch

from tests.unit.models.tiny import tiny_decoder
from waggle.core.engine_values import Sampling
from waggle.engines.local.jobs import GenerateJob
from waggle.engines.local.slots import SHORTEST, Prefix, PrefixStore, Slots, shared_length
from waggle.models.cache import SlotCache


def new_job(slots: Slots, cache: SlotCache, number: int, rng: random.Random) -> GenerateJob:
    """A job whose keys are all its own number."""
    job = GenerateJob([0] * 30, max_tokens=1, end_tokens=frozenset(), sampling=Sampling())
    slots.add(job)
    slot, job.computed = slots.jobs.index(job), rng.randint(0, 20)
    job.tokens = [number] * 30
    cache.keys[:, slot, :, : job.computed] = number
    cache.values[:, slot, :, : job.computed] = -number
    return job


@pytest.mark.parametrize("seed", range(10))
def test_slots_stay_packed_and_keep_their_keys(seed: int) -> None:
    rng = random.Random(seed)
    cache = SlotCache(tiny_decoder().config, slots=6, context=32)
    slots, alive, writing = Slots(cache), set[GenerateJob](), set[GenerateJob]()
    for number in range(1, 200):
        waiting = sorted(alive - writing, key=lambda job: job.tokens[0])
        move = rng.choice(["add", "promote", "remove"])
        if move == "add" and not slots.is_full:
            alive.add(new_job(slots, cache, number, rng))
        elif move == "promote" and waiting:
            chosen = rng.choice(waiting)
            slots.promote(chosen)
            writing.add(chosen)
        elif move == "remove" and alive:
            chosen = rng.choice(sorted(alive, key=lambda job: job.tokens[0]))
            slots.remove(chosen)
            alive.discard(chosen)
            writing.discard(chosen)
        assert set(slots.writers) == writing, f"seed {seed}"
        assert set(slots.jobs) == alive
        assert len(slots.jobs) == len(alive)
        for job in alive:
            keys, values = cache.read(slots.jobs.index(job), job.computed)
            assert keys.eq(job.tokens[0]).all()
            assert values.eq(-job.tokens[0]).all()


def prefix(*tokens: int) -> Prefix:
    return Prefix(tokens, torch.zeros(1), torch.zeros(1))


def test_the_longest_common_beginning_wins() -> None:
    store = PrefixStore(1_000)
    for length in (10, 20, 15):
        store.keep(prefix(*range(length), 99))
    length, found = store.find(list(range(30)), 30)
    assert length == 20
    assert found is not None
    assert len(found.tokens) == 21


def test_no_more_than_asked_is_reused() -> None:
    store = PrefixStore(1_000)
    store.keep(prefix(*range(20)))
    assert store.find(list(range(20)), 19)[0] == 19


def test_a_short_beginning_is_not_worth_it() -> None:
    store = PrefixStore(1_000)
    store.keep(prefix(*range(20)))
    assert store.find([*range(SHORTEST - 1), 99], 30) == (0, None)


def test_the_longest_unused_goes_first() -> None:
    store = PrefixStore(50)
    for begin in (100, 200):
        store.keep(prefix(*range(begin, begin + 20)))
    store.find(list(range(100, 120)), 20)
    store.keep(prefix(*range(300, 320)))
    assert [store.find(list(range(begin, begin + 20)), 20)[0] for begin in (100, 200, 300)] == [20, 0, 20]


def test_what_is_too_long_or_known_is_not_kept() -> None:
    store = PrefixStore(50)
    store.keep(prefix(*range(51)))
    assert store.find(list(range(51)), 51)[0] == 0
    for _ in range(9):
        store.keep(prefix(*range(20)))
    store.keep(prefix(*range(100, 120)))
    assert store.find(list(range(20)), 20)[0] == 20


def test_shared_length() -> None:
    assert shared_length([1, 2, 3], [1, 2, 4], 9) == 2
    assert shared_length([1, 2, 3], [1, 2], 9) == 2
    assert shared_length([1, 2, 3], [1, 2, 3], 1) == 1
    assert shared_length([], [1], 9) == 0
