"""Tokens of calls that came to nothing: an engine tells what it had used, and whoever asked counts it.

What a finished call used stands in its result; this is for the others, which failed, were cut off or were no longer
wanted. Carried by the task and all that it starts, over no wire. Counts are as good as the engine knows them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from waggle.core.carried import carrying


class Wasted:
    """A count in the making; `prompt_tokens` are among `tokens`."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.tokens = 0
        self.prompt_tokens = 0

    def add(self, prompt_tokens: int, completion_tokens: int) -> None:
        """Count what one call had used."""
        self.prompt_tokens += max(0, prompt_tokens)
        self.tokens += max(0, prompt_tokens) + max(0, completion_tokens)


_wasted: ContextVar[Wasted | None] = ContextVar("wasted", default=None)


def waste(prompt_tokens: int, completion_tokens: int) -> None:
    """Tell of a call that came to nothing after so many tokens; without effect where nobody counts."""
    count = _wasted.get()
    if count is not None:
        count.add(prompt_tokens, completion_tokens)


@contextmanager
def counting_waste() -> Iterator[Wasted]:
    """Count what calls made in the block, and in the tasks that it starts, use for nothing; outer counts are told."""
    before, count = _wasted.get(), Wasted()
    try:
        with carrying(_wasted, count):
            yield count
    finally:
        if before is not None:
            before.add(count.prompt_tokens, count.tokens - count.prompt_tokens)
