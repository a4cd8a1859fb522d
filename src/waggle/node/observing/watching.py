"""Keeps what a running round has told its watcher, for whoever draws it at a pace of their own."""

from waggle.core.round_picture import RoundPicture
from waggle.core.round_values import Event
from waggle.strategies.machine import Moment


class Watched:
    """Hand `watch` to the round; `take` gives the newest picture, once."""

    def __init__(self) -> None:
        """Nothing has happened yet."""
        self.events: list[Event] = []
        self._moment: Moment | None = None

    def watch(self, moment: Moment, event: Event) -> None:
        """Remember what happened; takes no time, because the round waits for it."""
        self._moment = moment
        self.events.append(event)

    def take(self) -> RoundPicture | None:
        """The round as it stands; None where nothing happened since it was last taken."""
        moment, self._moment = self._moment, None
        return None if moment is None else moment.picture()
