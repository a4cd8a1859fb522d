"""Continuous batching: requests join and leave the running batch at every step.

A step is at most one pass over chunks of prompts, bounded in tokens so that nobody waits long for a long prompt, and
one token for every job that writes. What a job finds out does not depend on its company, nor on how its prompt was cut
or where its prefix came from: that is `fused.py`'s doing, and what frees the batcher to do as it likes. Used by one
thread, except `submit` and `load`.
"""

from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from waggle.core.errors import EngineError, EngineUnavailable
from waggle.engines.batching.jobs import GenerateJob, Job
from waggle.engines.batching.prefixes import SHORTEST, Prefix, PrefixStore, shared_length
from waggle.engines.batching.rows import Rows
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
        observe: Observer | None = None,
    ) -> None:
        """At most `slots` jobs run at once, fewer where their keys and values would take over `cache_bytes`."""
        config = network.config
        row_bytes = 2 * config.layers * config.kv_heads * config.head_dim * network.context * network.dtype.itemsize
        slots = max(network.row_floor, min(slots, cache_bytes // row_bytes))
        self.network = network
        self._cache = SlotCache(
            config, slots=slots, context=network.context, dtype=network.dtype, device=network.device
        )
        self._rows = Rows(self._cache)
        self._prefixes = PrefixStore(kept_tokens)
        self._observe = observe
        self._inbox: deque[Job] = deque()
        self._sampler = Sampler([])
        self._sampled: list[GenerateJob] = []  # those that the sampler was made for
        self._passes = 0

    @property
    def load(self) -> int:
        """Jobs waiting or running."""
        return len(self._inbox) + len(self._rows.jobs)

    def submit(self, job: Job) -> None:
        """Queue a job; from any thread."""
        self._inbox.append(job)

    def step(self) -> None:
        """Drop what was cancelled, let in what fits, and compute one pass of each kind."""
        for job in [job for job in self._rows.jobs if job.is_over]:
            self._remove(job)
        while self._inbox and not self._rows.is_full:
            self._admit(self._inbox.popleft())
        if self._rows.prompts:
            self._read_prompts()
        if self._rows.writing:
            self._write()

    def fail(self, error: EngineError) -> None:
        """End all jobs with `error`."""
        failed = [*self._rows.jobs, *self._inbox]
        self._inbox.clear()
        self._rows.clear()
        for job in failed:
            job.end(error)

    def _admit(self, job: Job) -> None:
        """Give a job a slot and the longest beginning that another row or the store has computed already."""
        if job.is_over:
            return job.end(EngineUnavailable("cancelled"))
        slot = self._rows.add(job)
        length, prefix = self._prefixes.find(job.tokens, job.reusable)
        shared = [
            shared_length(other.tokens, job.tokens, min(job.reusable, other.computed))
            for other in self._rows.jobs[:slot]
        ]
        if shared and max(shared) >= max(length, SHORTEST):
            length = max(shared)
            self._cache.copy_prefix(shared.index(length), slot, length)
        elif prefix is not None:
            self._cache.write(slot, prefix.keys[:, :, :length], prefix.values[:, :, :length])
        job.computed = job.reused = length
        return None

    def _read_prompts(self) -> None:
        """Compute the next chunk of some neighbouring prompts; those that are done begin to write, or are over."""
        first, jobs = self._neighbours()
        counts = [min(job.remaining, CHUNK_TOKENS) for job in jobs]
        length = max(*counts, -(-self.network.row_floor // len(jobs)))
        hidden = self._compute(first, jobs, counts, length)
        for row, (job, count) in enumerate(zip(jobs, counts, strict=True)):
            job.take_hidden(job.computed - count, hidden[row, :count], self.network.logits)
        done = [row for row, job in enumerate(jobs) if job.remaining == 0]
        writers = [(row, job) for row in done if isinstance(job := jobs[row], GenerateJob)]
        if writers:
            last = torch.stack([hidden[row, counts[row] - 1] for row, _ in writers])
            self._draw([job for _, job in writers], last)
        for job in [jobs[row] for row in done]:
            if isinstance(job, GenerateJob) and not job.finished:
                self._rows.promote(job)
            else:
                self._remove(job)
                job.end()

    def _neighbours(self) -> tuple[int, list[Job]]:
        """A run of prompts of like size, and its first slot; the oldest and the shortest take turns in beginning it."""
        prompts = self._rows.prompts
        sizes = [min(job.remaining, CHUNK_TOKENS) for job in prompts]
        self._passes += 1
        start = 0 if self._passes % 2 else sizes.index(min(sizes))
        stop = start + 1
        while stop < len(sizes) and _go_together(sizes[start : stop + 1]):
            stop += 1
        return self._rows.writing + start, prompts[start:stop]

    def _write(self) -> None:
        """One token for every job that writes."""
        jobs = self._rows.writers
        hidden = self._compute(0, jobs, [1] * len(jobs), 1)
        self._draw(jobs, hidden[:, 0])
        for job in jobs:
            if job.finished:
                self._remove(job)

    def _draw(self, jobs: list[GenerateJob], hidden: Tensor) -> None:
        """Give each job its next token, drawn from its row of hidden states (at least as many rows as jobs, E)."""
        if jobs != self._sampled:
            self._sampled = jobs
            self._sampler = Sampler([job.sampling for job in jobs], device=self.network.device)
        steps = [len(job.logprobs) for job in jobs]
        tokens, logprobs = self._sampler.draw(self.network.logits(hidden), steps)
        for job, token, logprob in zip(jobs, tokens.tolist(), logprobs.tolist(), strict=False):
            job.accept(token, logprob, is_last_place=len(job.tokens) + 1 >= self.network.context)

    def _compute(self, first: int, jobs: Sequence[Job], counts: list[int], length: int) -> Tensor:
        """Run the next `counts` tokens of the jobs in slots first, first + 1, ...; hidden states (B, T, E).

        Where these are fewer rows than bits need to be the same in any batch, rows of padding follow.
        """
        padding = max(0, self.network.row_floor - len(jobs)) if length == 1 else 0
        starts = [job.computed for job in jobs]
        tokens = [
            [*job.tokens[start : start + count], *[0] * (length - count)]
            for job, start, count in zip(jobs, starts, counts, strict=True)
        ]
        window = CacheWindow(
            self._cache, first=first, starts=starts + [0] * padding, counts=counts + [0] * padding, length=length
        )
        hidden = self.network.forward(
            torch.tensor(tokens + [[0] * length] * padding, device=self.network.device), window
        )
        for row, (job, count) in enumerate(zip(jobs, counts, strict=True)):
            job.computed += count
            if self._observe is not None:
                self._observe(job, starts[row], hidden[row, :count])
        return hidden

    def _remove(self, job: Job) -> None:
        """Take a job out; what it wrote may be the beginning of another."""
        if isinstance(job, GenerateJob) and job.finished:
            keys, values = self._cache.read(self._rows.slot_of(job), job.computed)
            self._prefixes.keep(Prefix(tuple(job.tokens[: job.computed]), keys, values))
        self._rows.remove(job)
        if job.cancelled:
            job.end(EngineUnavailable("cancelled"))


def _go_together(sizes: list[int]) -> bool:
    """Whether prompts of these sizes fill one pass well: little padding, and not too many tokens."""
    return max(sizes) <= 2 * min(sizes) + 8 and max(sizes) * len(sizes) <= PASS_TOKENS
