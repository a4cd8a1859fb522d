"""What the simulated network will do and when: one timer of the loop for any number of appointments.

An event loop runs its own timers of one moment in no particular order, and on a virtual clock many things happen at one
moment. Here they happen in the order they were made: a farewell never overtakes the frame sent before it.
"""

import asyncio
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count

Action = Callable[[], None]
Appointment = list[Action]
"""The one action; empty once it is cancelled."""

FEWEST_TO_SWEEP = 100
"""Cancelled appointments that are not worth a sweep."""


class Agenda:
    """Runs actions at loop times; those in the past run as soon as the loop comes round."""

    __slots__ = ("_armed", "_cancelled", "_entries", "_numbers", "_timer")

    def __init__(self) -> None:
        """Nothing to do yet."""
        self._entries: list[tuple[float, int, Appointment]] = []
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None
        self._armed = float("inf")
        self._cancelled = 0

    def __len__(self) -> int:
        """How many appointments are kept, cancelled ones that have not been swept out included."""
        return len(self._entries)

    def at(self, when: float, action: Action) -> Appointment:
        """Run an action, which must not raise, at a loop time in seconds; gives what `cancel` needs."""
        appointment = [action]
        heappush(self._entries, (when, next(self._numbers), appointment))
        if when < self._armed:
            self._arm(when)
        return appointment

    def cancel(self, appointment: Appointment) -> None:
        """Let it not happen; harmless where it has happened."""
        if not appointment:
            return
        appointment.clear()
        self._cancelled += 1
        if self._cancelled > FEWEST_TO_SWEEP and self._cancelled * 2 > len(self._entries):
            self._entries = [entry for entry in self._entries if entry[2]]
            heapify(self._entries)
            self._cancelled = 0

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = when
        self._timer = asyncio.get_running_loop().call_at(when, self._run)

    def _run(self) -> None:
        """Do all that is due, then set the timer for the next."""
        due, self._timer = self._armed, None
        while self._entries and self._entries[0][0] <= due:
            appointment = heappop(self._entries)[2]
            if appointment:
                appointment.pop()()
            else:
                self._cancelled -= 1
        self._armed = float("inf")
        if self._entries:
            self._arm(self._entries[0][0])
