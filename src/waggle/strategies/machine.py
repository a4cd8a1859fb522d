"""What a way of answering is made of: a pure machine that is told what happened and says what is to be done.

`step` takes a state and one event and gives the next state and the effects to be carried out; `view` shows a state to
whoever watches. A machine has no clock, no chance and no network: times come with the events, generators from `draw`,
answers as events. So the same plan and the same events give the same outcome, here and at anybody who replays them. A
`Moment` is a machine with one state of it: the runner, the client, the replay and the pages are handed one, and none
of them knows which way it is.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from msgspec import Struct

from waggle.core.errors import LocalProtocolError, RemoteProtocolError, WaggleError
from waggle.core.round_effects import Effect, Finish
from waggle.core.round_picture import RoundPicture
from waggle.core.round_values import Event, Outcome, Plan, Record
from waggle.strategies.limits import check_event

Draw = Callable[[int], np.random.Generator]
"""Gives the generator that belongs to a seed. An argument, because a machine itself holds no randomness."""
S = TypeVar("S")


class Machine(Protocol[S]):
    """A way of answering; `S` is what it remembers between two events, a frozen value."""

    def begin(self, plan: Plan) -> S:
        """The state before the first event."""
        ...

    def step(self, state: S, event: Event, draw: Draw) -> tuple[S, Sequence[Effect]]:
        """Apply one event, the first of which is `RoundStarted`; the last effect of a round is `Finish`.

        Everything asked for is answered by an event or cut off by a deadline: a machine sets a timer before it waits.

        Raises:
            RemoteProtocolError: nobody waits for this event; the old state still holds.
        """
        ...

    def view(self, state: S) -> RoundPicture:
        """What there is to see."""
        ...


class Moment(Struct, frozen=True, kw_only=True):
    """A round at one moment. `outcome` is None until it is over."""

    plan: Plan
    machine: Machine[Any]
    state: object
    outcome: Outcome | None = None

    def after(self, event: Event, draw: Draw) -> tuple["Moment", Sequence[Effect]]:
        """The next moment, and what is to be done now.

        Raises:
            RemoteProtocolError: the event is refused (unasked, repeated, late, oversize); this moment still holds.
            LocalProtocolError: the machine itself failed.
        """
        if self.outcome is not None:
            raise RemoteProtocolError("the round is over")
        check_event(event)
        try:
            state, effects = self.machine.step(self.state, event, draw)
        except WaggleError:
            raise
        except Exception as error:  # a machine may be anybody's, and what it is fed a stranger's
            raise LocalProtocolError(f"the way {self.plan.strategy!r} failed ({type(error).__name__})") from error
        outcome = next((effect.outcome for effect in effects if isinstance(effect, Finish)), None)
        return Moment(plan=self.plan, machine=self.machine, state=state, outcome=outcome), effects

    def picture(self) -> RoundPicture:
        """What there is to see; made when it is asked for, since it may take a fit."""
        return self.machine.view(self.state)


Watch = Callable[[Moment, Event], None]
"""Sees every accepted event with the moment it led to; the round waits for it."""


def replay(start: Moment, events: Sequence[Event], draw: Draw) -> tuple[Moment, ...]:
    """The moment after every event, in order.

    Raises:
        RemoteProtocolError, LocalProtocolError: the events are not those of a round.
    """
    moments = []
    for event in events:
        start, _ = start.after(event, draw)
        moments.append(start)
    return tuple(moments)


def check_record(start: Moment, record: Record, draw: Draw) -> None:
    """Raise LocalProtocolError unless the record's outcome is what its events lead to from `start`."""
    moments = replay(start, record.events, draw)
    if not moments or moments[-1].outcome is None:
        raise LocalProtocolError("the record ends before the round does")
    if moments[-1].outcome != record.outcome:
        raise LocalProtocolError("the recorded outcome does not follow from the recorded events")
