"""Continuous batching: requests join and leave the running batch at every step.

A step is at most one pass over chunks of prompts, bounded in tokens so that nobody waits long for a long prompt, and
a token or more for every job that writes. What a job finds out does not depend on its company, nor on how its prompt
was cut or where its prefix came from: that is `fused.py`'s doing, and what frees the batcher to do as it likes. Used by
one thread, except `submit` and `load`.
"""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TypeGuard

import torch
from torch import Tensor

from waggle.core.errors import EngineError, EngineUnavailable
from waggle.engines.local.drafts import DraftsByAsker
from waggle.engines.local.jobs import GenerateJob, Job
from waggle.engines.local.slots import Slots
from waggle.models.cache import CacheWindow, SlotCache
from waggle.models.fused import FusedDecoder
from waggle.models.sampling import Sampler

CHUNK_TOKENS, PASS_TOKENS = 64, 256  # of one prompt, and of all prompts together, in one pass
KEPT_TOKENS = 4_096  # of sequences that have left, for prefix reuse
CACHE_BYTES = 2**29

Observer = Callable[[Job, int, Tensor], None]  # a job, the first position, hidden states (T, E) from there on


class Batcher:
    """One decoder's batch. `observe` sees all hidden states as they are computed, for proofs and the like."""

    def __init__(
        self,
        network: FusedDecoder,
        *,
        slots: int = 32,
        cache_bytes: int = CACHE_BYTES,
        kept_tokens: int = KEPT_TOKENS,
        guesses: bool = True,
        observe: Observer | None = None,
    ) -> None:
        """At most `slots` jobs run at once, fewer where their keys and values would take over `cache_bytes`.

        Without `guesses` every pass settles one token; texts are the same.
        """
        config = network.config
        row_bytes = 2 * config.layers * config.kv_heads * config.head_dim * network.context * network.dtype.itemsize
        slots = max(network.row_floor, min(slots, cache_bytes // row_bytes))
        self.network = network
        self._cache = SlotCache(
            config, slots=slots, context=network.context, dtype=network.dtype, device=network.device
        )
        self._slots = Slots(self._cache, kept_tokens=kept_tokens)
        self._drafts = DraftsByAsker() if guesses else None
        self._observe = observe
        self._inbox: deque[Job] = deque()
        self._sampler = Sampler([])
        self._sampled: list[GenerateJob] = []  # the rows that the sampler was made for
        self._passes = 0

    @property
    def load(self) -> int:
        """Jobs waiting or running."""
        return len(self._inbox) + len(self._slots.jobs)

    def submit(self, job: Job) -> None:
        """Queue a job; from any thread."""
        self._inbox.append(job)

    def step(self) -> None:
        """Drop what was cancelled, let in what fits, and compute one pass of each kind."""
        for job in [job for job in self._slots.jobs if job.is_over]:
            self._remove(job)
        while self._inbox and not self._slots.is_full:
            job = self._inbox.popleft()
            if job.is_over:
                job.end(EngineUnavailable("cancelled"))
            else:
                self._slots.add(job)
        if self._slots.prompts:
            self._read_prompts()
        if self._slots.writing:
            self._write()

    def fail(self, error: EngineError) -> None:
        """End all jobs with `error`."""
        failed = [*self._slots.jobs, *self._inbox]
        self._inbox.clear()
        self._slots.clear()
        for job in failed:
            job.end(error)

    def _read_prompts(self) -> None:
        """Compute the next chunk of some neighbouring prompts; those that are done begin to write, or are over."""
        first, jobs = self._neighbours()
        fed = [job.tokens[job.computed : job.computed + CHUNK_TOKENS] for job in jobs]
        hidden = self._compute(first, jobs, fed)
        for row, job in enumerate(jobs):
            job.take_hidden(job.computed, hidden[row, : len(fed[row])], self.network.logits)
            self._advance(job, hidden[row, : len(fed[row])])
        done = [row for row, job in enumerate(jobs) if job.remaining == 0]
        self._begin_writing([(job, hidden[row, len(fed[row]) - 1]) for row in done if _writes(job := jobs[row])])
        for job in [jobs[row] for row in done]:
            if isinstance(job, GenerateJob) and not job.finished:
                self._slots.promote(job)
            else:
                self._remove(job)
                job.end()

    def _neighbours(self) -> tuple[int, list[Job]]:
        """A run of prompts of like size, and its first slot; the oldest and the shortest take turns in beginning it."""
        prompts = self._slots.prompts
        sizes = [min(job.remaining, CHUNK_TOKENS) for job in prompts]
        self._passes += 1
        start = 0 if self._passes % 2 else sizes.index(min(sizes))
        stop = start + 1
        while stop < len(sizes) and _go_together(sizes[start : stop + 1]):
            stop += 1
        return self._slots.writing + start, prompts[start:stop]

    def _begin_writing(self, ready: list[tuple[GenerateJob, Tensor]]) -> None:
        """The first token of jobs whose prompt is done, each with its last hidden state (E,)."""
        if ready:
            jobs = [job for job, _ in ready]
            drawn = self._draw(jobs, [0] * len(jobs), torch.stack([hidden for _, hidden in ready]))
            for job, (token, logprob) in zip(jobs, drawn, strict=True):
                self._accept(job, token, logprob)

    def _write(self) -> None:
        """At least one token for every job that writes; as many as were guessed right in rows that cost nothing."""
        jobs = self._slots.writers
        guesses = [self._guess(job, -(-self.network.row_floor // len(jobs)) - 1) for job in jobs]
        hidden = self._compute(0, jobs, [[job.tokens[-1], *guess] for job, guess in zip(jobs, guesses, strict=True)])
        length = hidden.shape[1]
        rows = [job for job in jobs for _ in range(length)]
        steps = [len(job.logprobs) + place for job in jobs for place in range(length)]
        drawn = iter(self._draw(rows, steps, hidden.flatten(0, 1)))
        for row, (job, guess) in enumerate(zip(jobs, guesses, strict=True)):
            accepted = self._accept_run(job, list(islice(drawn, length)), guess)
            self._advance(job, hidden[row, :accepted])
        for job in jobs:
            if job.finished:
                self._remove(job)

    def _guess(self, job: GenerateJob, most: int) -> list[int]:
        """What may follow, where there are rows to spare and room in the context."""
        most = min(most, self.network.context - len(job.tokens))
        if most < 1 or self._drafts is None:
            return []
        drafts = self._drafts.of(job.owner.asker)
        drafts.learn(job.tokens, job.learned)
        job.learned = len(job.tokens)
        return drafts.guess(job.tokens, most)

    def _accept_run(self, job: GenerateJob, drawn: list[tuple[int, float]], guess: list[int]) -> int:
        """Accept drawn tokens for as long as the guesses that they were drawn behind are right; how many that were."""
        for place, (token, logprob) in enumerate(drawn):
            self._accept(job, token, logprob)
            if job.finished or place >= len(guess) or guess[place] != token:
                return place + 1
        return len(drawn)

    def _accept(self, job: GenerateJob, token: int, logprob: float) -> None:
        job.accept(token, logprob, is_last_place=len(job.tokens) + 1 >= self.network.context)

    def _draw(self, rows: list[GenerateJob], steps: list[int], hidden: Tensor) -> list[tuple[int, float]]:
        """A token and its log-probability for each row of hidden states (N, E), by the rules of that row's job."""
        if rows != self._sampled:
            self._sampled = rows
            self._sampler = Sampler([job.sampling for job in rows], device=self.network.device)
        tokens, logprobs = self._sampler.draw(self.network.logits(hidden), steps)
        return list(zip(tokens.tolist(), logprobs.tolist(), strict=True))

    def _compute(self, first: int, jobs: Sequence[Job], fed: list[list[int]]) -> Tensor:
        """Run the `fed` tokens of the jobs in slots first, first + 1, ...; hidden states (B, T, E).

        T is at least so large that there are as many rows as bits need to be the same in any batch.
        """
        length = max(*map(len, fed), -(-self.network.row_floor // len(jobs)))
        window = CacheWindow(
            self._cache,
            first=first,
            starts=[job.computed for job in jobs],
            counts=[len(tokens) for tokens in fed],
            length=length,
        )
        padded = [tokens + [0] * (length - len(tokens)) for tokens in fed]
        return self.network.forward(torch.tensor(padded, device=self.network.device), window)

    def _advance(self, job: Job, hidden: Tensor) -> None:
        """The next positions of a job are computed, with these hidden states (T, E)."""
        if self._observe is not None:
            self._observe(job, job.computed, hidden)
        job.computed += hidden.shape[0]

    def _remove(self, job: Job) -> None:
        """Take a job out; others may go on as it did."""
        if isinstance(job, GenerateJob) and job.finished and self._drafts is not None:
            self._drafts.of(job.owner.asker).learn(job.tokens, job.learned)
        self._slots.remove(job)
        if job.cancelled:
            job.end(EngineUnavailable("cancelled"))


def _writes(job: Job) -> TypeGuard[GenerateJob]:
    return isinstance(job, GenerateJob)


def _go_together(sizes: list[int]) -> bool:
    """Whether prompts of these sizes fill one pass well: little padding, and not too many tokens."""
    return max(sizes) <= 2 * min(sizes) + 8 and max(sizes) * len(sizes) <= PASS_TOKENS
