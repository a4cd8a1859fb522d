"""Tests whose waits take no time."""

import functools
from collections.abc import Callable, Coroutine
from typing import ParamSpec

from waggle.testing.clock import run_virtual

P = ParamSpec("P")


def in_virtual_time(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """The test on an event loop of its own, in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **named: P.kwargs) -> None:
        run_virtual(test(*args, **named))

    return run
