"""Rounds: what was asked before, searchable; each opens its record."""

import asyncio
import time
from collections.abc import Sequence

from fastapi import FastAPI
from nicegui import ui
from nicegui.element import Element

from waggle.dashboard.frame.context import Context, page
from waggle.dashboard.frame.elements import box, empty_state, words
from waggle.dashboard.frame.layout import frame
from waggle.dashboard.frame.words import ago, duration, one_line, percent
from waggle.node.history.history import History, RoundSummary

PAGE_ROUNDS = 25
SEARCH_PAUSE_MS = 250
FLUSH_SECONDS = 1.0
MOST_CHARACTERS = 200
LEAD = (
    "Every question that was put to the swarm here, with its record. What the API asks of one model alone is not kept."
)


def add(app: FastAPI, context: Context) -> None:
    """Put the page on the app."""

    @page(app, "/rounds")
    async def rounds(q: str = "") -> None:
        with frame("/rounds", "Rounds", LEAD):
            if context.history is None:
                text = "This gateway keeps no history, so past rounds cannot be opened."
                empty_state("history_toggle_off", "No history is kept", text)
                return
            await asyncio.to_thread(context.history.flush, FLUSH_SECONDS)  # a round that has just ended may still wait
            found = _Found(context.history, q[:MOST_CHARACTERS])
            await found.search(found.text)


class _Found:
    """The search of one page and what it found so far."""

    def __init__(self, history: History, text: str) -> None:
        self._history = history
        self.text = text
        self._asked = 0
        field = ui.input(placeholder="Search questions and answers", value=text)
        field.props(f"outlined dense clearable type=search debounce={SEARCH_PAUSE_MS} maxlength={MOST_CHARACTERS}")
        field.props('aria-label="Search rounds"').style("width: 100%")
        field.on_value_change(lambda event: self.search(str(event.value or "")))
        self._list = box("card rounds", "section", aria_label="Rounds found").style("padding: .3rem .7rem")
        self._place = box("stack")

    async def search(self, text: str) -> None:
        """Show the newest rounds with these words."""
        self.text = text.strip()
        self._list.clear()
        await self._more(None)

    async def _more(self, before: float | None) -> None:
        self._asked += 1
        mine = self._asked
        found = await asyncio.to_thread(self._history.search, self.text, PAGE_ROUNDS, before)
        if mine != self._asked or self._list.is_deleted:
            return  # somebody typed on meanwhile
        with self._list:
            for summary in found:
                _row(summary)
        self._list.set_visibility(bool(found) or before is not None)
        self._place.clear()
        with self._place:
            self._rest(found, before)

    def _rest(self, found: Sequence[RoundSummary], before: float | None) -> None:
        if len(found) == PAGE_ROUNDS:
            button = words("Show older rounds", "plain-button", "button", type="button")
            button.on("click", lambda _: self._more(found[-1].at))
        elif not found and before is None:
            _nothing(self.text, self._history.fault)


def _nothing(text: str, fault: str | None) -> Element:
    if fault:
        return empty_state("error_outline", "The history cannot be read", f"{one_line(fault, 200)}.", kind="bad")
    if text:
        return empty_state(
            "search_off", "Nothing found", f"No question or answer has all the words of “{one_line(text, 80)}”."
        )
    ask = "Ask something on the first page, through the API, or from the command line:"
    return empty_state("history", "No rounds yet", ask, 'waggle ask "Solve for x: 7*x - 5 = 44"')


def _row(summary: RoundSummary) -> None:
    with box("round-row", "a", href=f"/rounds/{summary.round_id}"):
        words(one_line(summary.question, 160) or "(question not kept)", "q cut")
        words(ago(summary.at, time.time()), "dim small when")
        words(answer_words(summary), "cut" if not summary.abstained else "cut dim")
        with box("row").style("gap: .35rem; justify-content: flex-end"):
            words(summary.strategy, "chip")
            words(*state_chip(summary))


def answer_words(summary: RoundSummary) -> str:
    """The answer on one line; of a round that abstained the best guess, said to be one."""
    if summary.answer is None:
        return "no answer"
    answer = one_line(summary.answer, 160) or "(an empty answer)"
    return f"best guess: {answer}" if summary.abstained else answer


def state_chip(summary: RoundSummary) -> tuple[str, str]:
    """How it ended, and how that looks."""
    if summary.answer is None:
        return "failed", "chip bad"
    if summary.abstained:
        return f"abstained, {percent(summary.confidence)}", "chip warn"
    return f"{percent(summary.confidence)}, {duration(summary.seconds)}", "chip good"
