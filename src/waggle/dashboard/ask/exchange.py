"""One question on the page: its words, its round as it happens, and how it ended."""

import asyncio
import secrets

from nicegui import ui
from nicegui.element import Element

from waggle.core.asking import AskOptions
from waggle.core.errors import EngineUnavailable, PeerBusy, UsageError, WaggleError
from waggle.core.round_values import Record
from waggle.dashboard.frame.context import Context
from waggle.dashboard.frame.elements import box, empty_state, words
from waggle.dashboard.frame.long_text import long_text
from waggle.dashboard.frame.words import NOT_KEPT, duration, one_line
from waggle.dashboard.rounds.round_view import RoundView
from waggle.dashboard.rounds.verdict_view import show_verdict
from waggle.node.observing.watching import Watched

REDRAW_SECONDS = 0.1
REVEAL = """
const box = getHtmlElement(%d), end = box?.querySelector(".answer, .empty");
const low = end && end.getBoundingClientRect().top - box.getBoundingClientRect().top > innerHeight / 2;
(low ? end : box)?.scrollIntoView({behavior: "%s"});"""
"""Puts the question at the top, or the verdict where it would not be seen below the question."""
Ending = tuple[str, str, str, str]
"""Sign, title, text, command to type."""


class Exchange:
    """The question is shown at once; `run` asks it."""

    def __init__(self, context: Context, question: str) -> None:
        """Build it where elements are being put just now."""
        self._context = context
        self._question = question
        self.round_id = secrets.token_hex(16)
        self._watched = Watched()
        self._asking: asyncio.Task[Record] | None = None
        with box("stack exchange") as self.box:
            long_text(question, "question")
            self._end = box("stack")
            self._waking = words("Waking the models …", "dim small", "p", role="status")
            with box("went hidden", "details", open="") as self._went:
                words("How the round went", "", "summary")
                self._place = box("stack")
        self._view: RoundView | None = None

    def stop(self) -> None:
        """End all work on the question."""
        if self._asking is not None:
            self._asking.cancel()

    async def run(self, options: AskOptions) -> Record | None:
        """Ask, showing what happens; the record, or None where the question was stopped or could not be asked."""
        with self.box:
            timer = ui.timer(REDRAW_SECONDS, self._draw)
        self._asking = asyncio.ensure_future(self._ask(options))
        try:
            return await self._asking
        except asyncio.CancelledError:
            if not self._asking.cancelled():
                raise  # it is us who are to end, not the question
            self.end(("stop_circle", "Stopped", "You stopped this question; all work on it has ended.", ""))
        except WaggleError as error:
            self.end(failure(error), bad=True)
        finally:
            timer.cancel()
            self._draw()
            self._waking.set_visibility(False)
        return None

    async def _ask(self, options: AskOptions) -> Record:
        async with self._context.place():
            return await self._context.service.ask(self._question, options, self._watched.watch, self.round_id)

    def finish(self, record: Record) -> None:
        """Show how the round ended, above what led to it."""
        if not self.box.is_deleted:
            with self._end:
                show_verdict(record, opens=self._context.history is not None)
            self.reveal()

    def reveal(self) -> None:
        """Scroll so that the question and what became of it are seen."""
        reveal(self.box)

    def fold(self) -> None:
        """Close what led to the answer; it can be opened again."""
        if not self.box.is_deleted:
            self._went.props.pop("open", None)
            self._went.update()

    def end(self, ending: Ending, *, bad: bool = False) -> None:
        """Show that there is no round to tell of."""
        self._waking.set_visibility(False)
        if not self.box.is_deleted:
            sign, title, text, command = ending
            with self._end:
                empty_state(sign, title, text, command, kind="bad" if bad else "")
            self.reveal()

    def _draw(self) -> None:
        picture = self._watched.take()
        if picture is None or self.box.is_deleted:
            return
        self._waking.set_visibility(False)
        if self._view is None:
            self._went.classes(remove="hidden")
            with self._place:
                self._view = RoundView()
            self.reveal()
        self._view.show(picture, self._watched.events)


def show_past(record: Record) -> Element:
    """A question of an earlier visit with its verdict; how it went is in its record."""
    with box("stack exchange") as made:
        long_text(record.plan.question or NOT_KEPT, "question")
        show_verdict(record, opens=True)
    return made


def reveal(exchange: Element, *, at_once: bool = False) -> None:
    """Scroll to a question."""
    exchange.client.run_javascript(REVEAL % (exchange.id, "instant" if at_once else "smooth"))


def failure(error: WaggleError) -> Ending:
    """What went wrong, in words, and what can be done about it."""
    text = one_line(str(error), 400)
    match error:
        case UsageError():
            return "edit_note", "This cannot be asked", f"{text}.", ""
        case PeerBusy(retry_after=after):
            when = "a moment" if after is None else duration(after)
            return (
                "hourglass_top",
                "Everybody is busy",
                f"The swarm has no room for this question. Try again in {when}.",
                "",
            )
        case EngineUnavailable():
            return "power_off", "No model can be reached", f"{text}.", "waggle doctor"
        case _:
            return "error_outline", "The round failed", f"{text}.", "waggle doctor"
