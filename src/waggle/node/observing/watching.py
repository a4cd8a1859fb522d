"""Keeps what a running round has told its watcher, for whoever draws it at a pace of their own."""

from waggle.core.round_values import Event
from waggle.node.observing.picture import RoundPicture, picture_of
from waggle.swarm.state import State


class Watched:
    """Hand `watch` to the round; `take` gives the newest picture, once."""

    def __init__(self) -> None:
        """Nothing has happened yet."""
        self.events: list[Event] = []
        self._state: State | None = None
        self._fresh = False

    def watch(self, state: State, event: Event) -> None:
        """Remember what happened; takes no time, because the round waits for it."""
        self._state, self._fresh = state, True
        self.events.append(event)

    def take(self) -> RoundPicture | None:
        """The round as it stands; None where nothing happened since it was last taken."""
        if self._state is None or not self._fresh:
            return None
        self._fresh = False
        return picture_of(self._state)
