"""Tests whose waits take no time."""

import functools
from collections.abc import Callable, Coroutine
from typing import ParamSpec, TypeVar

from waggle.testing.clock import run_virtual

P = ParamSpec("P")
Result = TypeVar("Result")


def in_virtual_time(test: Callable[P, Coroutine[None, None, Result]]) -> Callable[P, Result]:
    """The test, or what several tests begin with, on an event loop of its own, in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **named: P.kwargs) -> Result:
        return run_virtual(test(*args, **named))

    return run
