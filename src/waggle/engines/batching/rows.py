"""Which job is in which slot of the cache: those that write first, those whose prompt is still computed behind them.

No slot in between is free, so that every pass works on a view of neighbouring slots and gathers nothing. Where a row
leaves, the last row of its kind moves into its place, keys and values with it.
"""

from waggle.engines.batching.jobs import GenerateJob, Job
from waggle.models.cache import SlotCache


class Rows:
    """The running jobs by slot; the first `writing` of them write, one token a step."""

    def __init__(self, cache: SlotCache) -> None:
        self.jobs: list[Job] = []
        self.writing = 0
        self._cache = cache

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

    def slot_of(self, job: Job) -> int:
        """Where it is."""
        return self.jobs.index(job)

    def add(self, job: Job) -> int:
        """Give a job the first free slot."""
        self.jobs.append(job)
        return len(self.jobs) - 1

    def promote(self, job: GenerateJob) -> None:
        """The job's prompt is done: it changes places with the first that is not."""
        slot, target = self.slot_of(job), self.writing
        self.writing += 1
        if slot != target:
            keys, values = self._cache.read(target, self.jobs[target].computed)
            self._cache.copy_prefix(slot, target, job.computed)
            self._cache.write(slot, keys, values)
            self.jobs[slot], self.jobs[target] = self.jobs[target], job

    def remove(self, job: Job) -> None:
        """Take a job out and close the gap."""
        gap = self.slot_of(job)
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
