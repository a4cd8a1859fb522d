"""Whatever joins, leaves or moves: rows stay packed, and each job's keys stay with it."""

import random

import pytest

from tests.unit.models.tiny import tiny_decoder
from waggle.core.engine_values import Sampling
from waggle.engines.batching.jobs import GenerateJob
from waggle.engines.batching.rows import Rows
from waggle.models.cache import SlotCache


def new_job(rows: Rows, cache: SlotCache, number: int, rng: random.Random) -> GenerateJob:
    """A job whose keys are all its own number."""
    job = GenerateJob([0] * 30, max_tokens=1, end_tokens=frozenset(), sampling=Sampling())
    slot, job.computed = rows.add(job), rng.randint(0, 20)
    job.tokens = [number] * 30
    cache.keys[:, slot, :, : job.computed] = number
    cache.values[:, slot, :, : job.computed] = -number
    return job


@pytest.mark.parametrize("seed", range(10))
def test_rows_stay_packed_and_keep_their_keys(seed: int) -> None:
    rng = random.Random(seed)
    cache = SlotCache(tiny_decoder().config, slots=6, context=32)
    rows, alive, writing = Rows(cache), set[GenerateJob](), set[GenerateJob]()
    for number in range(1, 200):
        waiting = sorted(alive - writing, key=lambda job: job.tokens[0])
        move = rng.choice(["add", "promote", "remove"])
        if move == "add" and not rows.is_full:
            alive.add(new_job(rows, cache, number, rng))
        elif move == "promote" and waiting:
            chosen = rng.choice(waiting)
            rows.promote(chosen)
            writing.add(chosen)
        elif move == "remove" and alive:
            chosen = rng.choice(sorted(alive, key=lambda job: job.tokens[0]))
            rows.remove(chosen)
            alive.discard(chosen)
            writing.discard(chosen)
        assert set(rows.writers) == writing, f"seed {seed}"
        assert set(rows.jobs) == alive
        assert len(rows.jobs) == len(alive)
        for job in alive:
            keys, values = cache.read(rows.slot_of(job), job.computed)
            assert keys.eq(job.tokens[0]).all()
            assert values.eq(-job.tokens[0]).all()
