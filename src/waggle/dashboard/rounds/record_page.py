"""One past round, found by its id: how it ended, who beat whom, who said what, and all of it again step by step."""

import asyncio
import re
from collections.abc import Sequence

from fastapi import FastAPI
from nicegui import ui

from waggle.core.errors import WaggleError
from waggle.core.round_values import Proposal, ProposalReceived, Record
from waggle.core.words import many
from waggle.dashboard.frame.context import Context, page
from waggle.dashboard.frame.elements import box, empty_state, icon, link, words
from waggle.dashboard.frame.layout import frame
from waggle.dashboard.frame.long_text import long_text
from waggle.dashboard.frame.words import NOT_KEPT, duration, one_line, percent, plain, short_id, strategy_words
from waggle.dashboard.rounds.heat_map import draw_heat_map
from waggle.dashboard.rounds.replay_view import ReplayView
from waggle.dashboard.rounds.verdict_view import show_verdict
from waggle.node.history.history import History
from waggle.node.history.records import replay_record
from waggle.node.observing.names import names_of
from waggle.strategies.machine import Moment

FLUSH_SECONDS = 5.0
ROUND_ID = re.compile(r"[0-9a-f]{1,64}")
MOST_EVENTS = 5_000
NOT_FOUND = 404
TITLE = 160
"""Characters up to which a question is set in a title's size."""


def add(app: FastAPI, context: Context) -> None:
    """Put the page on the app."""

    @page(app, "/rounds/{round_id}")
    async def record_of(round_id: str) -> None:
        record = await _find(context, round_id)
        steps = await _steps(record) if record is not None else ""
        title = "Round" if record is None else one_line(record.plan.question, 70) or "Round"
        with frame("/rounds", title, heading=False):
            link("‹ All rounds", "/rounds", "small")
            if record is None:
                ui.context.client.status_code = NOT_FOUND
                text = "It was never kept here, or is too old. What one model alone answers is not kept."
                empty_state("search_off", "There is no such round", text)
            else:
                _show(record, steps)


async def find_rounds(history: History, names: Sequence[str]) -> list[Record]:
    """The records of these rounds, in this order; those that are not there, or are no ids, are left out.

    Whoever may open the pages may see every round of this node.
    """
    wanted = [name for name in names if ROUND_ID.fullmatch(name)]
    found = await asyncio.to_thread(lambda: {name: history.get(name) for name in wanted})
    missing = [name for name, record in found.items() if record is None]
    if missing:  # a round that has just ended may still wait to be written
        await asyncio.to_thread(history.flush, FLUSH_SECONDS)
        found |= await asyncio.to_thread(lambda: {name: history.get(name) for name in missing})
    return [record for name in wanted if (record := found[name]) is not None]


async def _find(context: Context, round_id: str) -> Record | None:
    found = await find_rounds(context.history, [round_id]) if context.history is not None else []
    return found[0] if found else None


async def _steps(record: Record) -> tuple[Moment, ...] | str:
    """Every moment of the round, worked out beside the event loop; or why there are none."""
    if len(record.events) > MOST_EVENTS:
        return f"it has {len(record.events):,} events, more than the {MOST_EVENTS:,} that are replayed here"
    try:
        return await asyncio.to_thread(replay_record, record)
    except WaggleError as error:
        return str(error)


def _show(record: Record, steps: tuple[Moment, ...] | str) -> None:
    long_text(record.plan.question or NOT_KEPT, "title" if len(record.plan.question) <= TITLE else "title long")
    show_verdict(record, opens=False)
    with box("grid2"):
        with box("stack").style("gap: 1.25rem"):
            with box("card", "section", aria_label="Who beat whom").style("flex: 1"):
                words("Who beat whom", "", "h2")
                words("How often the row beats the column, in percent, as the judges see it.", "card-note", "p")
                draw_heat_map(record)
            _receipt()
        _facts(record)
    if isinstance(steps, str):
        empty_state("error_outline", "This record cannot be replayed", f"{one_line(steps, 200)}.", kind="bad")
    else:
        ReplayView(record, steps)
    _proposals(record)


def _facts(record: Record) -> None:
    plan, count = record.plan, record.outcome.ballots
    facts = {
        "strategy": strategy_words(plan.strategy),
        "proposers": str(len(plan.proposers)),
        "judges": str(sum(judge.judge_weight > 0 for judge in plan.judges)),
        "ballots": f"{count.cast} counted of {count.asked}" if count.asked else "none asked for",
        "time budget": duration(plan.budget.seconds),
        "token budget": "none" if plan.budget.tokens is None else many(plan.budget.tokens, "token"),
        "ended because": one_line(record.outcome.reason, 160),
        "round": plan.round_id,
    }
    with box("card", "section", aria_label="Facts"):
        words("In figures", "", "h2")
        with box("plain", "table"), box("", "tbody"):
            for name, value in facts.items():
                with box("", "tr"):
                    words(name, "", "th", scope="row")
                    words(value, "mono" if name == "round" else "", "td")


def _receipt() -> None:
    with box("card receipt", "section", aria_label="Receipt"):
        with box("row"):
            icon("receipt_long", "dim")
            words("Receipt", "section-title", "h2").style("margin: 0")
        text = "Receipts are not signed yet. The record above is this node's own word; it can be replayed here."
        words(text, "dim small", "p").style("margin-top: .4rem")


def _proposals(record: Record) -> None:
    made = [event.proposal for event in record.events if isinstance(event, ProposalReceived)]
    with box("card", "section", aria_label="Proposals"):
        words("Proposals", "", "h2")
        if not made:
            words("Nobody proposed anything.", "dim", "p")
        with box("proposals"):
            names = names_of(record.plan)
            for proposal in made:
                _proposal(proposal, names.get(proposal.node, proposal.node))


def _proposal(proposal: Proposal, name: str) -> None:
    with box("proposal"):
        with box("row apart"):
            words(short_id(name), "", "strong", title=one_line(proposal.node, 200))
            sure = "" if proposal.self_confidence is None else f"{percent(proposal.self_confidence)} sure, "
            words(f"{sure}{many(proposal.tokens, 'token')}, {duration(proposal.seconds)}", "dim small num")
        long_text(proposal.answer or "(an empty answer)")
        if proposal.trace.strip():
            with box("", "details"):
                words("Its working", "dim small", "summary")
                words(plain(proposal.trace), "trace mono", "pre")
