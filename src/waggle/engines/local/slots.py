"""Which job is in which slot of the cache, and what is computed already of how a new one begins.

Those that write come first, those whose prompt is still computed behind them. No slot in between is free, so that every
pass works on a view of neighbouring slots and gathers nothing. Where a row leaves, the last row of its kind moves into
its place, keys and values with it.

Keys and values of sequences that have left are kept a while, in case another one begins in the same way: a judge works
a question that it has answered before; a conversation goes on. What is kept is bounded in tokens, and the longest
unused goes first. One owner's sequences serve no other: how fast a prompt is read would tell who else began in the same
way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from waggle.core.carried import NOBODY, Owner
from waggle.engines.local.jobs import GenerateJob, Job
from waggle.models.cache import SlotCache

SHORTEST = 8  # tokens; a shorter prefix is computed faster than it is found


class Slots:
    """The running jobs by slot; the first `writing` of them write, one token a step."""

    def __init__(self, cache: SlotCache, *, kept_tokens: int = 0) -> None:
        """`kept_tokens`: how much of the sequences that have left is kept."""
        self.jobs: list[Job] = []
        self.writing = 0
        self._cache = cache
        self._prefixes = PrefixStore(kept_tokens)

    @property
    def is_full(self) -> bool:
        """Whether no slot is left."""
        return len(self.jobs) >= self._cache.slots

    @property
    def writers(self) -> list[GenerateJob]:
        """The jobs that write."""
        return [job for job in self.jobs[: self.writing] if isinstance(job, GenerateJob)]

    @property
    def prompts(self) -> list[Job]:
        """The jobs whose tokens are not all computed; the first is in slot `writing`."""
        return self.jobs[self.writing :]

    def add(self, job: Job) -> None:
        """Give a job the first free slot, and the longest beginning that its owner's other jobs have computed."""
        slot = len(self.jobs)
        length, prefix = self._prefixes.find(job.tokens, job.reusable, job.owner)
        shared = [
            shared_length(other.tokens, job.tokens, min(job.reusable, other.computed)) * (other.owner == job.owner)
            for other in self.jobs
        ]
        if shared and max(shared) >= max(length, SHORTEST):
            length = max(shared)
            self._cache.copy_prefix(shared.index(length), slot, length)
        elif prefix is not None:
            self._cache.write(slot, prefix.keys[:, :, :length], prefix.values[:, :, :length])
        job.computed = job.reused = length
        self.jobs.append(job)

    def promote(self, job: GenerateJob) -> None:
        """The job's prompt is done: it changes places with the first that is not."""
        slot, target = self.jobs.index(job), self.writing
        self.writing += 1
        if slot != target:
            keys, values = self._cache.read(target, self.jobs[target].computed)
            self._cache.copy_prefix(slot, target, job.computed)
            self._cache.write(slot, keys, values)
            self.jobs[slot], self.jobs[target] = self.jobs[target], job

    def remove(self, job: Job) -> None:
        """Take a job out and close the gap; what it has written may be the beginning of another."""
        gap = self.jobs.index(job)
        if isinstance(job, GenerateJob) and job.finished:
            keys, values = self._cache.read(gap, job.computed)
            self._prefixes.keep(Prefix(tuple(job.tokens[: job.computed]), keys, values, job.owner))
        if gap < self.writing:
            self.writing -= 1
            self._move(self.writing, gap)
            gap = self.writing
        self._move(len(self.jobs) - 1, gap)
        self.jobs.pop()

    def clear(self) -> None:
        """Take all of them out."""
        self.jobs, self.writing = [], 0

    def _move(self, source: int, target: int) -> None:
        if source != target:
            self.jobs[target] = self.jobs[source]
            self._cache.copy_prefix(source, target, self.jobs[source].computed)


@dataclass(frozen=True, eq=False)
class Prefix:
    """A sequence's tokens with its keys and values, each (layers, kv_heads, tokens, head_dim)."""

    tokens: tuple[int, ...]
    keys: Tensor
    values: Tensor
    owner: Owner = NOBODY


class PrefixStore:
    """The most recent sequences, up to `most_tokens` of them together."""

    def __init__(self, most_tokens: int) -> None:
        self._most_tokens = most_tokens
        self._held = 0
        self._prefixes: list[Prefix] = []  # the longest unused first

    def keep(self, prefix: Prefix) -> None:
        """Hold on to a sequence, and let go of older ones as needed."""
        if len(prefix.tokens) > self._most_tokens or any(
            (prefix.tokens, prefix.owner) == (known.tokens, known.owner) for known in self._prefixes
        ):
            return
        self._prefixes.append(prefix)
        self._held += len(prefix.tokens)
        while self._held > self._most_tokens:
            self._held -= len(self._prefixes.pop(0).tokens)

    def find(self, tokens: Sequence[int], most: int, owner: Owner = NOBODY) -> tuple[int, Prefix | None]:
        """The owner's sequence that begins most like `tokens`, and how long that is the same; at most `most`."""
        best, length = None, SHORTEST - 1
        for prefix in self._prefixes:
            shared = shared_length(prefix.tokens, tokens, most) if prefix.owner == owner else 0
            if shared > length:
                best, length = prefix, shared
        if best is None:
            return 0, None
        self._prefixes.remove(best)
        self._prefixes.append(best)
        return length, best


def shared_length(first: Sequence[int], second: Sequence[int], most: int) -> int:
    """How many tokens two sequences have in common at the beginning; at most `most`."""
    length = 0
    for mine, theirs in zip(first, second, strict=False):
        if mine != theirs or length >= most:
            break
        length += 1
    return length
