"""A finished round gone through step by step: a slider over its events, and the round as it stood after each."""

from collections.abc import Callable

from nicegui import ui
from nicegui.events import GenericEventArguments

from waggle.core.round_values import Record
from waggle.dashboard.ask.composer import NUMBER
from waggle.dashboard.frame.elements import box, icon, with_attributes, words
from waggle.dashboard.frame.words import duration
from waggle.dashboard.rounds.round_view import RoundView
from waggle.node.observing.picture import picture_of
from waggle.node.observing.replay import Steps

PLAY_SECONDS = 12.0
"""How long playing a whole round takes, about."""
SLOWEST, FASTEST = 0.8, 0.08  # seconds a step


class ReplayView:
    """The round of one page; the last step is shown first."""

    def __init__(self, record: Record, states: Steps) -> None:
        """Build it where elements are being put just now; `states` are what `replay` made of the record."""
        self._record = record
        self._states = states
        self._step = 0
        last = len(self._states) - 1
        with box("card replay", "section", aria_label="Replay"):
            with box("row apart"):
                words("Replay", "section-title", "h2")
                self._at = words("", "dim small num", role="status")
            self._slider = box("slider", "input", type="range", min="0", max=f"{last}", step="1")
            with_attributes(self._slider, {"aria_label": "Step of the round"})
            self._slider.on("input", self._moved, js_handler=NUMBER)
            with box("row"):
                _button("First", "first_page", lambda: self.show(0))
                _button("Back", "chevron_left", lambda: self.show(self._step - 1))
                self._play = _button("Play", "play_arrow", self.play)
                _button("Next", "chevron_right", lambda: self.show(self._step + 1))
                _button("Last", "last_page", lambda: self.show(last))
        self._view = RoundView()
        pace = min(SLOWEST, max(FASTEST, PLAY_SECONDS / max(1, last)))
        self._timer = ui.timer(pace, self._tick, active=False)
        self.show(last)

    def show(self, step: int) -> None:
        """Show the round after this event, the first being 0."""
        last = len(self._states) - 1
        self._step = min(last, max(0, step))
        state = self._states[self._step]
        self._at.text = f"step {self._step + 1} of {last + 1}, {duration(state.at)}"
        self._slider.props["value"] = f"{self._step}"
        self._slider.update()
        self._view.show(picture_of(state), self._record.events[: self._step + 1])

    def play(self) -> None:
        """Go through the steps, from the beginning where the end is shown; once more stops it."""
        if self._timer.active:
            self._timer.deactivate()
            return
        if self._step >= len(self._states) - 1:
            self.show(0)
        self._timer.activate()

    def _tick(self) -> None:
        self.show(self._step + 1)
        if self._step >= len(self._states) - 1:
            self._timer.deactivate()

    def _moved(self, event: GenericEventArguments) -> None:
        self._timer.deactivate()
        self.show(int(event.args))


def _button(name: str, sign: str, action: Callable[[], None]) -> ui.element:
    with box("plain-button icon-only", "button", type="button", aria_label=name, title=name) as button:
        icon(sign)
    button.on("click", lambda _: action())
    return button
