"""The one clock that everything above the pure core is given: seconds that only go forward, and waiting.

It reads the running event loop's time, so it follows the loop: real seconds on an ordinary loop, virtual ones under
`waggle.testing.clock.run_virtual`. It is not the date: nothing that leaves the machine may be stamped with it.
"""

import asyncio
from typing import Protocol


class Clock(Protocol):
    """Time as an argument, so that a test can hold it."""

    def now(self) -> float:
        """Seconds since an arbitrary moment; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; a number that is not positive only lets the others run."""
        ...


class SystemClock:
    """The running event loop's clock; asking it outside a loop is a RuntimeError, that is, our bug."""

    def now(self) -> float:
        """Seconds on the loop's monotonic clock."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait that many of the loop's seconds."""
        await asyncio.sleep(max(0.0, seconds))
