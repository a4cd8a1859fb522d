"""Rounds: what was asked before, searchable; each opens its record."""

import asyncio
import time
from collections.abc import Sequence
from urllib.parse import urlencode

from fastapi import FastAPI
from nicegui import ui
from nicegui.element import Element

from waggle.dashboard.frame.context import Context, page
from waggle.dashboard.frame.elements import box, empty_state, words
from waggle.dashboard.frame.layout import frame
from waggle.dashboard.frame.words import NOT_KEPT, ago, duration, one_line, percent, strategy_words
from waggle.dashboard.rounds.record_page import FLUSH_SECONDS
from waggle.node.history.history import History, RoundSummary

PAGE_ROUNDS = 25
SEARCH_PAUSE_MS = 250
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
        ui.navigate.history.replace(address_of(self.text))  # so that Back from a record finds the search again
        self._list.clear()
        await self._more(None)

    async def _more(self, before: float | None) -> None:
        self._asked += 1
        mine = self._asked
        found, wanted = await asyncio.to_thread(_search, self._history, self.text, before)
        if mine != self._asked or self._list.is_deleted:
            return  # somebody typed on meanwhile
        with self._list:
            for summary in found:
                _row(summary, wanted.get(summary.round_id))
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


def _search(history: History, text: str, before: float | None) -> tuple[Sequence[RoundSummary], dict[str, float]]:
    """The rounds, and how sure those should have been that abstained."""
    found = history.search(text, PAGE_ROUNDS, before)
    unsure = [summary.round_id for summary in found if summary.abstained and summary.answer is not None]
    records = {name: history.get(name) for name in unsure}
    return found, {name: record.plan.min_confidence for name, record in records.items() if record is not None}


def address_of(text: str) -> str:
    """The address of this page with a search."""
    return f"/rounds?{urlencode({'q': text})}" if text else "/rounds"


def _nothing(text: str, fault: str | None) -> Element:
    if fault:
        return empty_state("error_outline", "The history cannot be read", f"{one_line(fault, 200)}.", kind="bad")
    if text:
        return empty_state(
            "search_off", "Nothing found", f"No question or answer has all the words of “{one_line(text, 80)}”."
        )
    ask = "Ask something on the first page, through the API, or from the command line:"
    return empty_state("history", "No rounds yet", ask, 'waggle ask "Solve for x: 7*x - 5 = 44"')


def _row(summary: RoundSummary, wanted: float | None) -> None:
    with box("round-row", "a", href=f"/rounds/{summary.round_id}"):
        words(one_line(summary.question, 160) or NOT_KEPT, "q cut")
        words(ago(summary.at, time.time()), "dim small when")
        words(answer_words(summary), "cut" if not summary.abstained else "cut dim")
        with box("row").style("gap: .35rem; justify-content: flex-end"):
            words(strategy_words(summary.strategy), "chip")
            words(*state_chip(summary, wanted))


def answer_words(summary: RoundSummary) -> str:
    """The answer on one line; of a round that abstained the best guess, said to be one."""
    if summary.answer is None:
        return "no answer"
    answer = one_line(summary.answer, 160) or "(an empty answer)"
    return f"best guess: {answer}" if summary.abstained else answer


def state_chip(summary: RoundSummary, wanted: float | None = None) -> tuple[str, str]:
    """How it ended, and how that looks; `wanted` is the confidence that was asked for, where it is known."""
    if summary.answer is None:
        return ("abstained, no answer", "chip warn") if summary.abstained else ("failed", "chip bad")
    if summary.abstained:
        return f"abstained, {short_of(summary.confidence, wanted)}", "chip warn"
    return f"{percent(summary.confidence)}, {duration(summary.seconds)}", "chip good"


def short_of(confidence: float, wanted: float | None) -> str:
    """How sure, of how sure it should have been: as exactly as it takes to see that it was not enough."""
    if not wanted:
        return percent(confidence)
    if percent(confidence) != percent(wanted):
        return f"{percent(confidence)} of {percent(wanted)} asked"
    return f"{100 * confidence:.2f} % of {100 * wanted:.2f} % asked"
