"""Jobs that share a batch find out exactly what they would alone, and what a plain decoder finds out."""

import random
from collections.abc import Iterator

import pytest
import torch
from msgspec.structs import replace
from torch import Tensor

from tests.unit.models.tiny import QWEN3, tiny_decoder
from waggle.core.engine_values import Finish, Sampling
from waggle.core.errors import EngineUnavailable
from waggle.engines.local.batcher import CHUNK_TOKENS, Batcher
from waggle.engines.local.jobs import EmbedJob, GenerateJob, Job, ScoreJob
from waggle.models.fused import FusedDecoder, one_thread

CONTEXT = 200
DECODER = tiny_decoder(replace(QWEN3, context=CONTEXT), seed=3)
VOCABULARY = DECODER.config.vocabulary
NETWORK = FusedDecoder(DECODER)


@pytest.fixture(autouse=True)
def tensors_of_one_thread() -> Iterator[None]:
    with one_thread(), torch.inference_mode():
        yield


def writing(prompt: list[int], *, most: int = 20, seed: int = 0, ends: frozenset[int] = frozenset()) -> GenerateJob:
    rule = Sampling(temperature=0.9, seed=seed) if seed else Sampling()
    return GenerateJob(prompt, max_tokens=most, end_tokens=ends, sampling=rule)


def prompt_of(seed: int, length: int) -> list[int]:
    rng = random.Random(seed)
    return [rng.randrange(VOCABULARY) for _ in range(length)]


def run(batcher: Batcher, *jobs: Job, steps: int = 1_000) -> None:
    for job in jobs:
        batcher.submit(job)
    while batcher.load and steps:
        batcher.step()
        steps -= 1


def greedy(prompt: list[int], most: int) -> list[int]:
    """What the plain decoder writes, without any cache."""
    tokens = list(prompt)
    for _ in range(most):
        hidden = DECODER(torch.tensor([tokens]))
        tokens.append(int(DECODER.logits(hidden[0, -1]).argmax()))
    return tokens[len(prompt) :]


@pytest.mark.parametrize("length", [1, 2, 5, CHUNK_TOKENS, CHUNK_TOKENS + 1, 150])
def test_greedy_text_is_the_plain_decoders(length: int) -> None:
    job = writing(prompt_of(length, length), most=12)
    run(Batcher(NETWORK), job)
    assert job.written == greedy(prompt_of(length, length), 12)
    assert job.finish is Finish.LENGTH


@pytest.mark.parametrize("seed", range(4))
def test_jobs_find_out_the_same_bits_in_any_company(seed: int) -> None:
    rng = random.Random(seed)
    shared = prompt_of(99, 30)

    def job(number: int) -> Job:
        dice = random.Random(1_000 * seed + number)
        prompt = [*shared[: dice.choice([0, 0, 12, 30])], *prompt_of(number, dice.randint(1, 120))]
        if number % 5 == 4:
            return ScoreJob(prompt, prompt_of(number + 50, dice.randint(1, 20)))
        return writing(prompt, most=dice.randint(1, 40), seed=dice.choice([0, number + 1]))

    alone, together = [job(number) for number in range(25)], [job(number) for number in range(25)]
    for each in alone:
        run(Batcher(NETWORK), each)
    batcher, waiting = Batcher(NETWORK, slots=7), list(together)
    rng.shuffle(waiting)
    while waiting or batcher.load:
        for _ in range(min(len(waiting), rng.choice([0, 0, 1, 4]))):
            batcher.submit(waiting.pop())
        disturbance = writing(prompt_of(rng.randrange(9), 9), most=99, seed=5)
        if rng.random() < 0.2:
            batcher.submit(disturbance)
        batcher.step()
        disturbance.cancelled = True
    for one, other in zip(alone, together, strict=True):
        assert isinstance(one, GenerateJob | ScoreJob)
        assert isinstance(other, GenerateJob | ScoreJob)
        assert one.finished
        assert (one.tokens, one.logprobs) == (other.tokens, other.logprobs), f"seed {seed}"


def test_end_tokens_stop_a_generation() -> None:
    text = greedy(prompt_of(1, 9), 12)
    end = text[7]
    job = writing(prompt_of(1, 9), most=12, ends=frozenset({end}))
    run(Batcher(NETWORK), job)
    assert job.written == text[: text.index(end) + 1]
    assert job.finish is Finish.STOP
    assert len(job.logprobs) == len(job.written)


def test_the_context_ends_a_generation_with_length() -> None:
    job = writing(prompt_of(2, CONTEXT - 5), most=50)
    run(Batcher(NETWORK), job)
    assert job.finish is Finish.LENGTH
    assert len(job.tokens) == CONTEXT
    assert job.written == greedy(prompt_of(2, CONTEXT - 5), 5)


def test_a_token_listener_can_stop_a_generation() -> None:
    seen: list[int] = []

    def third(token: int, logprob: float) -> bool:
        seen.append(token)
        return len(seen) == 3

    job = GenerateJob(prompt_of(3, 4), max_tokens=9, end_tokens=frozenset(), sampling=Sampling(), on_token=third)
    run(Batcher(NETWORK), job)
    assert job.written == seen
    assert len(seen) == 3
    assert job.finish is Finish.STOP


@pytest.mark.parametrize(("prompt", "continuation"), [(1, 1), (1, 90), (70, 3), (64, 64), (3, 2)])
def test_scores_are_the_log_likelihoods_of_the_plain_decoder(prompt: int, continuation: int) -> None:
    before, after = prompt_of(prompt, prompt), prompt_of(continuation + 7, continuation)
    job = ScoreJob(before, after)
    run(Batcher(NETWORK), job)
    scores = DECODER.logits(DECODER(torch.tensor([before + after])))[0, prompt - 1 : -1].log_softmax(dim=-1)
    expected = scores.gather(1, torch.tensor(after)[:, None])[:, 0]
    torch.testing.assert_close(torch.tensor(job.logprobs), expected, atol=1e-4, rtol=0)


def test_scoring_behind_a_written_text_computes_the_continuation_only() -> None:
    batcher = Batcher(NETWORK)
    written = writing(prompt_of(4, 40), most=20)
    run(batcher, written)
    job = ScoreJob(written.tokens[:-1], prompt_of(8, 5))
    run(batcher, job)
    fresh = ScoreJob(written.tokens[:-1], prompt_of(8, 5))
    run(Batcher(NETWORK), fresh)
    assert job.logprobs == fresh.logprobs
    assert (job.used[0], fresh.used[0]) == (5, 40 + 19 + 4)


def test_a_prefix_is_copied_from_a_row_that_is_still_running() -> None:
    batcher = Batcher(NETWORK, kept_tokens=0)
    first = writing(prompt_of(5, 50), most=100)
    batcher.submit(first)
    for _ in range(5):
        batcher.step()
    second = writing([*prompt_of(5, 50), 7], most=5)
    run(batcher, second)
    assert second.reused == 50
    assert second.written == greedy([*prompt_of(5, 50), 7], 5)


def test_an_embedding_is_the_unit_mean_of_hidden_states() -> None:
    job = EmbedJob(prompt_of(6, 150))
    run(Batcher(NETWORK), job)
    mean = DECODER(torch.tensor([prompt_of(6, 150)]))[0].mean(dim=0)
    torch.testing.assert_close(torch.tensor(job.vector), mean / mean.norm(), atol=1e-5, rtol=0)


def test_a_long_prompt_does_not_hold_up_those_who_write() -> None:
    batcher = Batcher(NETWORK)
    quick = writing(prompt_of(7, 5), most=100)
    run(batcher, quick, steps=2)
    before = len(quick.logprobs)
    slow = ScoreJob(prompt_of(8, 190), [1])
    batcher.submit(slow)
    steps = 0
    while not slow.finished:
        batcher.step()
        steps += 1
    assert steps == -(-190 // CHUNK_TOKENS)
    assert len(quick.logprobs) == before + steps


def test_a_short_prompt_overtakes_a_long_one() -> None:
    batcher = Batcher(NETWORK)
    slow, quick = ScoreJob(prompt_of(8, 190), [1]), ScoreJob(prompt_of(9, 4), [1])
    batcher.submit(slow)
    batcher.submit(quick)
    batcher.step()
    batcher.step()
    assert quick.finished
    assert not slow.finished


def test_a_cancelled_job_frees_its_slot_at_the_next_step() -> None:
    batcher = Batcher(NETWORK, slots=4)
    jobs = [writing(prompt_of(seed, 5), most=100) for seed in range(5)]
    run(batcher, *jobs, steps=3)
    assert not jobs[4].logprobs
    jobs[1].cancelled = True
    batcher.step()
    assert len(jobs[4].logprobs) == 2
    assert isinstance(jobs[1].error, EngineUnavailable)
    jobs[4].cancelled = True
    run(batcher)
    assert batcher.load == 0
    for number in (0, 2, 3):
        assert jobs[number].written == greedy(prompt_of(number, 5), 100)


def test_a_failure_ends_running_and_waiting_jobs() -> None:
    batcher = Batcher(NETWORK, slots=4)
    jobs = [writing(prompt_of(seed, 5), most=100) for seed in range(6)]
    ended: list[int] = []
    for number, job in enumerate(jobs):
        job.on_end = lambda number=number: ended.append(number)  # type: ignore[misc]
    run(batcher, *jobs, steps=2)
    batcher.fail(EngineUnavailable("out of memory"))
    assert batcher.load == 0
    assert ended == list(range(6))
    assert {str(job.error) for job in jobs} == {"out of memory"}


def test_an_observer_sees_every_position_once_and_what_the_plain_decoder_has_there() -> None:
    seen: dict[Job, list[tuple[int, Tensor]]] = {}

    def observe(job: Job, first: int, hidden: Tensor) -> None:
        seen.setdefault(job, []).append((first, hidden.clone()))

    jobs = [writing(prompt_of(seed, 62 + seed), most=9, seed=seed) for seed in range(5)]
    run(Batcher(NETWORK, observe=observe), *jobs)
    for job in jobs:
        hidden = torch.cat([part for _, part in seen[job]])
        written = range(job.prompt_length, len(job.tokens) - 1)
        assert [first for first, _ in seen[job]] == [*range(0, job.prompt_length, CHUNK_TOKENS), *written]
        expected = DECODER(torch.tensor([job.tokens[:-1]]))[0]
        torch.testing.assert_close(hidden, expected, atol=1e-4, rtol=0)


def test_a_small_budget_of_memory_gives_few_slots() -> None:
    assert Batcher(NETWORK, cache_bytes=1)._cache.slots == NETWORK.row_floor
    assert Batcher(NETWORK)._cache.slots == 32
