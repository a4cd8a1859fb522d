"""What a task carries with it, and all that it starts: for which request it works, whose work it is, what it wasted.

Nothing of it travels over a wire here, and no result depends on it. It is set at the doors (a key at the gateway, a
peer at a node) and read far below, so that what lies between need not pass it on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from msgspec import Struct

Value = TypeVar("Value")


@contextmanager
def _carrying(variable: ContextVar[Value], value: Value) -> Iterator[None]:
    """While the block runs the variable, which has a default, has this value; afterwards the one it had."""
    before = variable.get()
    variable.set(value)
    try:
        yield
    finally:
        variable.set(before)  # not by a token: a generator may be closed in another context than it began in


# --- the request ----------------------------------------------------------------------------------------------------

_request: ContextVar[str] = ContextVar("request", default="")


def request_id() -> str:
    """The request that this task works for; empty where there is none.

    It is in every log line, envelope and record, and told to servers of models. It is random, so it tells nobody
    anything but that two pieces of work belong together.
    """
    return _request.get()


@contextmanager
def requested(request: str) -> Iterator[None]:
    """While the block runs, and in the tasks that it starts, work is this request's."""
    with _carrying(_request, request):
        yield


# --- the owner ------------------------------------------------------------------------------------------------------


class Owner(Struct, frozen=True):
    """Whose work it is, so that caches can keep one caller's words apart from another's. It gives nobody a right.

    `asker` is who can be told apart from here; `errand` is one piece of business of an asker who may ask for others:
    work that shares an `asker` but not an `errand` is kept apart wherever that costs little. Both are empty for the one
    user of a process.
    """

    asker: str = ""
    errand: str = ""


NOBODY = Owner()
_owner: ContextVar[Owner] = ContextVar("owner", default=NOBODY)


def owner() -> Owner:
    """Whose work this task does."""
    return _owner.get()


@contextmanager
def working_for(asker: str, errand: str = "") -> Iterator[None]:
    """While the block runs, and in the tasks that it starts, work is this asker's."""
    with _carrying(_owner, Owner(asker, errand)):
        yield


# --- tokens for nothing ---------------------------------------------------------------------------------------------


class Wasted:
    """Tokens of calls that came to nothing: failed, cut off, no longer wanted. `prompt_tokens` are among `tokens`.

    What a finished call used stands in its result. Counts are as good as the engine knows them.
    """

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
        with _carrying(_wasted, count):
            yield count
    finally:
        if before is not None:
            before.add(count.prompt_tokens, count.tokens - count.prompt_tokens)
