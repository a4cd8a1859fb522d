"""What every transport must do, as small named checks: the contract of `waggle.mesh.transport.Transport`.

`check_transport` runs all of `CHECKS`, each on three nodes that the test makes; `run_check` runs one of them, for a
parametrised test. A check fails with AssertionError and one sentence. The same checks run on real sockets and in
virtual time: they ask for nothing but the protocol's own methods, and their bounds are generous.

Making nodes may be dear. All checks but `ENDING_CHECKS` leave their nodes open and at rest, use protocols of their own,
and send little enough to stay within the limits together: they can share three nodes. `ENDING_CHECKS` close some and
need three fresh ones; after them no task may be left that the nodes have begun.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from waggle.core.errors import WaggleError
from waggle.testing.transport_checks.calls import CALL_CHECKS
from waggle.testing.transport_checks.limits import LIMIT_CHECKS
from waggle.testing.transport_checks.links import ENDING_CHECKS, LINK_CHECKS
from waggle.testing.transport_checks.streams import STREAM_CHECKS
from waggle.testing.transport_checks.subject import POLL_S, SETTLE_S, Trio

PATIENCE_S = 240.0
"""What one check may take."""

MakeTrio = Callable[[], AbstractAsyncContextManager[Trio]]
"""Makes three nodes with addresses; closes them at its end, unless they are shared."""


class Check(Protocol):
    """One check; its name says what is wrong when it fails."""

    __name__: str

    async def __call__(self, trio: Trio) -> None:
        """Raise AssertionError where the transport breaks the rule."""
        ...


SHARING_CHECKS: tuple[Check, ...] = (*CALL_CHECKS, *STREAM_CHECKS, *LINK_CHECKS, *LIMIT_CHECKS)
CHECKS: tuple[Check, ...] = (*SHARING_CHECKS, *ENDING_CHECKS)


async def check_transport(make: MakeTrio) -> None:
    """Run all checks, each on nodes of its own; the first one that fails raises AssertionError."""
    for check in CHECKS:
        await run_check(check, make)


async def run_check(check: Check, make: MakeTrio) -> None:
    """Run one check on the nodes that `make` gives, in bounded time."""
    before = asyncio.all_tasks()
    try:
        async with asyncio.timeout(PATIENCE_S), make() as trio:
            await check(trio)
    except TimeoutError:
        raise AssertionError(f"{check.__name__} was not over after {PATIENCE_S:g} s") from None
    except WaggleError as error:
        raise AssertionError(f"{check.__name__} met {error!r}") from error
    if check in ENDING_CHECKS:
        await _assert_nothing_runs(before)


async def _assert_nothing_runs(before: set[asyncio.Task[object]]) -> None:
    deadline = asyncio.get_running_loop().time() + SETTLE_S
    while left := asyncio.all_tasks() - before:
        assert asyncio.get_running_loop().time() < deadline, f"left running after close: {left}"
        await asyncio.sleep(POLL_S)
