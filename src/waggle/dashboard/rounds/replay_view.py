"""A finished round gone through step by step: a slider over its events, and the round as it stood after each."""

from collections.abc import Callable, Sequence

from nicegui import ui
from nicegui.events import GenericEventArguments

from waggle.core.round_values import Record
from waggle.core.words import many
from waggle.dashboard.frame.elements import box, icon, slide, slider, with_attributes, words
from waggle.dashboard.frame.words import duration
from waggle.dashboard.rounds.round_view import RoundView
from waggle.strategies.machine import Moment

PLAY_SECONDS = 12.0
"""How long playing a whole round takes, about."""
SLOWEST, FASTEST = 0.8, 0.08  # seconds a step


class ReplayView:
    """The round of one page; the last step is shown first."""

    def __init__(self, record: Record, moments: Sequence[Moment]) -> None:
        """Build it where elements are being put just now; `moments` are those after each event of the record."""
        self._record = record
        self._moments = moments
        self._times = [duration(event.at) for event in record.events]
        self._step = 0
        last = len(self._moments) - 1
        with box("card replay", "section", aria_label="Replay"):
            with box("row apart"):
                words("Replay", "section-title", "h2")
                self._at = words("", "dim small num", role="status")
            self._slider = slider(last, 1, self._moved, "Step of the round")
            with box("row"):
                _Button("First", "first_page", lambda: self.show(0))
                _Button("Back", "chevron_left", lambda: self.show(self._step - 1))
                self._play = _Button("Play", "play_arrow", self.play)
                _Button("Next", "chevron_right", lambda: self.show(self._step + 1))
                _Button("Last", "last_page", lambda: self.show(last))
        self._view = RoundView()
        pace = min(SLOWEST, max(FASTEST, PLAY_SECONDS / max(1, last)))
        self._timer = ui.timer(pace, self._tick, active=False)
        self.show(last)

    def show(self, step: int) -> None:
        """Show the round after this event, the first being 0."""
        last = len(self._moments) - 1
        self._step = min(last, max(0, step))
        self._at.text = step_words(self._step, self._times)
        slide(self._slider, self._step)
        self._view.show(self._moments[self._step].picture(), self._record.events[: self._step + 1])

    def play(self) -> None:
        """Go through the steps, from the beginning where the end is shown; once more stops it."""
        if self._timer.active:
            self._run(False)
            return
        if self._step >= len(self._moments) - 1:
            self.show(0)
        self._run(True)

    def _run(self, playing: bool) -> None:
        """Begin or stop playing; the button says what it would do next."""
        self._timer.active = playing
        self._play.name(*(("Pause", "pause") if playing else ("Play", "play_arrow")))

    def _tick(self) -> None:
        self.show(self._step + 1)
        if self._step >= len(self._moments) - 1:
            self._run(False)

    def _moved(self, event: GenericEventArguments) -> None:
        self._run(False)
        self.show(int(event.args))


def step_words(step: int, moments: Sequence[str]) -> str:
    """Which step this is and when it was; judges that compare many pairs send all their ballots at one moment."""
    at_once = moments.count(moments[step]) - 1
    others = f" with {many(at_once, 'other')}" if at_once else ""
    return f"step {step + 1} of {len(moments)}, at {moments[step]}{others}"


class _Button:
    """A button with a sign alone; its name is for the pointer and for those who cannot see it."""

    def __init__(self, name: str, sign: str, action: Callable[[], None]) -> None:
        self._box = box("plain-button icon-only", "button", type="button")
        self._box.on("click", lambda _: action())
        self.name(name, sign)

    def name(self, name: str, sign: str) -> None:
        """Change what it says."""
        with_attributes(self._box, {"aria_label": name, "title": name})
        self._box.clear()
        with self._box:
            icon(sign)
