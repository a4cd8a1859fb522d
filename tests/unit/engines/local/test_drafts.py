"""Guesses come from the longest known context, and no text depends on them."""

import random
from collections.abc import Iterator

import pytest
import torch
from msgspec.structs import replace

from tests.unit.models.tiny import QWEN3, tiny_decoder
from waggle.core.engine_values import Sampling
from waggle.engines.local.batcher import Batcher
from waggle.engines.local.drafts import Drafts
from waggle.engines.local.jobs import GenerateJob, Job
from waggle.models.fused import FusedDecoder, one_thread

NETWORK = FusedDecoder(tiny_decoder(replace(QWEN3, context=150), seed=4))


@pytest.fixture(autouse=True)
def tensors_of_one_thread() -> Iterator[None]:
    with one_thread(), torch.inference_mode():
        yield


def test_the_longest_known_context_decides() -> None:
    drafts = Drafts()
    drafts.learn([1, 2, 3, 4, 5], 0)
    drafts.learn([9, 3, 4, 6], 0)
    assert drafts.guess([1, 2, 3, 4], 1) == [5]
    assert drafts.guess([7, 9, 3, 4], 1) == [6]
    assert drafts.guess([7, 7, 3, 4], 1) == [6]
    assert drafts.guess([7, 4], 1) == []


def test_guesses_follow_guesses() -> None:
    drafts = Drafts()
    drafts.learn([1, 2, 3, 4, 5, 6], 0)
    assert drafts.guess([0, 1, 2], 3) == [3, 4, 5]
    assert drafts.guess([0, 1, 2], 9) == [3, 4, 5, 6]
    assert drafts.guess([1], 3) == []


def test_only_what_is_new_is_learnt() -> None:
    drafts = Drafts()
    drafts.learn([1, 2, 3, 1, 2, 4], 4)
    assert drafts.guess([1, 2], 1) == [4]
    assert drafts.guess([2, 3], 1) == []


def test_what_was_not_learnt_again_is_forgotten() -> None:
    drafts = Drafts(most_entries=60)
    drafts.learn([1, 2, 3], 0)
    for begin in range(100, 1_000, 10):
        drafts.learn(list(range(begin, begin + 10)), 0)
    assert drafts.guess([1, 2], 1) == []
    assert drafts.guess([990, 991], 2) == [992, 993]


def job_of(seed: int) -> GenerateJob:
    rng = random.Random(seed)
    rule = Sampling(temperature=rng.choice([0.0, 0.3]), seed=seed)
    prompt = [rng.randrange(20) for _ in range(rng.randint(3, 40))]
    return GenerateJob(prompt, max_tokens=rng.choice([7, 60, 999]), end_tokens=frozenset({11, 12}), sampling=rule)


def run(batcher: Batcher, jobs: list[Job]) -> int:
    """Steps until all are done."""
    steps = 0
    for job in jobs:
        batcher.submit(job)
    while batcher.load:
        batcher.step()
        steps += 1
    return steps


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("company", [1, 2, 3])
def test_bits_are_the_same_with_and_without_guesses(seed: int, company: int) -> None:
    seen: list[tuple[Job, int]] = []
    plain, guessing = ([job_of(seed + 100 * number) for number in range(company)] for _ in range(2))
    steps = run(Batcher(NETWORK, guesses=False), list(plain))
    batcher = Batcher(NETWORK, observe=lambda job, first, hidden: seen.append((job, first + hidden.shape[0])))
    run(batcher, [job_of(seed + 100 * number) for number in range(company)])  # learns these very texts
    seen.clear()
    assert run(batcher, list(guessing)) <= steps
    for one, other in zip(plain, guessing, strict=True):
        assert (one.tokens, one.logprobs, one.finish) == (other.tokens, other.logprobs, other.finish), f"seed {seed}"
        assert max(end for job, end in seen if job is other) == len(other.tokens) - 1


def test_a_text_that_was_seen_before_takes_a_quarter_of_the_steps() -> None:
    batcher = Batcher(NETWORK, kept_tokens=0)
    first, again = (
        GenerateJob([3, 1, 4], max_tokens=100, end_tokens=frozenset(), sampling=Sampling()) for _ in range(2)
    )
    run(batcher, [first])
    assert run(batcher, [again]) <= 28
    assert again.tokens == first.tokens
