"""Quality: how often the swarm is right beside its baselines, what its confidence is worth, what an answer costs."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from fastapi import FastAPI

from waggle.core.asking import COMMITTEE
from waggle.core.errors import UsageError
from waggle.core.words import many
from waggle.dashboard.frame.context import Context, page
from waggle.dashboard.frame.elements import box, empty_state, words
from waggle.dashboard.frame.layout import frame
from waggle.dashboard.frame.words import duration, one_line, percent
from waggle.dashboard.quality.pictures import draw_accuracy, draw_curve
from waggle.dashboard.quality.report import BASELINES, Accuracy, Quality, read_quality
from waggle.node.history.history import History
from waggle.strategies.ways import ways

OF_THE_HIVE = Path(__file__).with_name("measured.json")
"""What the bench wrote of the bundled models: strategies and curve alone."""
COMMAND = "waggle bench quality --json"
DAY = 86_400.0


def add(app: FastAPI, context: Context) -> None:
    """Put the page on the app."""

    @page(app, "/quality")
    async def quality() -> None:
        lead = "How often the swarm is right on questions with known answers, beside its baselines."
        with frame("/quality", "Quality", lead):
            await _measured(context)
            if context.history is not None:
                await _live(context.history)


async def _measured(context: Context) -> None:
    path = context.quality
    if path is None or not path.exists():
        _not_here(path)
        _show(await asyncio.to_thread(read_quality, OF_THE_HIVE))
        return
    if not path.stat().st_size:  # the shell makes the file before the first question is asked
        text = "This takes some minutes. Open the page again then, or measure again where it was stopped:"
        empty_state("hourglass_top", "The measurement is under way", text, command_for(path))
        return
    try:
        found = await asyncio.to_thread(read_quality, path)
    except UsageError:
        text = f"{one_line(path.name, 80)} is not what the quality bench writes. Measure again:"
        empty_state("error_outline", "The measurement cannot be read", text, command_for(path), kind="bad")
        return
    _show(found)


def _not_here(path: Path | None) -> None:
    with box("notice quiet", "section", role="status"):
        words("Nothing was measured on this machine yet.", "", "strong")
        words("These are the bundled models, measured when this version was made. To measure them here:", "", "p")
        words(command_for(path), "command", "code")


def command_for(path: Path | None) -> str:
    """The command that writes the file which the page reads."""
    if path is None:
        return COMMAND
    home = Path.home()
    shown = f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
    return f"{COMMAND} > {one_line(shown, 300)}"


def _show(found: Quality) -> None:
    questions = max(accuracy.questions for accuracy in found.strategies)
    with box("grid2"):
        with box("card", "section"):
            words("Right answers", "", "h2")
            measured = f"Measured with version {one_line(found.version, 20)}."
            note = f"{many(questions, 'unseen question')}; the line is the 95 % interval. {measured}"
            words(note, "card-note", "p")
            draw_accuracy(found.strategies)
            words(strategies_words([each.name for each in found.strategies]), "dim small explained", "p")
        with box("card", "section"):
            words("Calibration curve", "", "h2")
            _curve(found)
    with box("card", "section"):
        words("What a right answer costs", "", "h2")
        _costs(found.strategies)


def strategies_words(names: Sequence[str]) -> str:
    """What the strategies shown do."""
    says = {way.name: way.says for way in ways()} | BASELINES
    return " ".join(f"{name.capitalize()}: {says[name]}." for name in names if name in says)


def _curve(found: Quality) -> None:
    swarm = next((each for each in found.strategies if each.name == COMMITTEE), None)
    if swarm is not None and swarm.error is not None:
        text = f"The stated confidence is off by {100 * swarm.error:.1f} points on average. Larger dots hold more."
        words(text, "card-note", "p")
    if found.curve:
        draw_curve(found.curve)
    else:
        text = "This measurement has no calibration curve; a newer one has."
        empty_state("show_chart", "No curve", text, COMMAND)


def _costs(strategies: tuple[Accuracy, ...]) -> None:
    with box("scroll-x", tabindex="0", role="region", aria_label="Costs"), box("plain costs", "table"):
        with box("", "thead"), box("", "tr"):
            words("strategy", "", "th", scope="col")
            for name in ("tokens per right answer", "time per right answer", "abstained"):
                words(name, "num", "th", scope="col")
        with box("", "tbody"):
            for each in strategies:
                if each.tokens_per_right is not None:
                    _cost(each)


def _cost(each: Accuracy) -> None:
    with box("", "tr"):
        words(each.name, "", "td")
        words(f"{each.tokens_per_right or 0:,.0f}", "num", "td")
        words(duration(each.seconds_per_right), "num", "td")
        words(percent(each.abstained), "num", "td")


async def _live(history: History) -> None:
    """What the rounds of this node say; whether their answers were right nobody knows."""
    totals = await asyncio.to_thread(history.totals)
    today = await asyncio.to_thread(history.totals, time.time() - DAY)
    with box("card live", "section"):
        words("In use", "", "h2")
        words("The rounds in this node's history. Whether their answers were right is not known.", "card-note", "p")
        if not totals.rounds:
            words("No rounds yet.", "dim", "p")
            return
        with box("facts"):
            for name, value in (
                ("Rounds", f"{totals.rounds:,}"),
                ("Last 24 hours", f"{today.rounds:,}"),
                ("Abstained", percent(totals.abstained / totals.rounds)),
                ("Failed", percent(totals.failed / totals.rounds)),
                ("Tokens per round", f"{totals.tokens / totals.rounds:,.0f}"),
                ("Time per round", duration(totals.seconds / totals.rounds)),
            ):
                with box("fact"):
                    words(name, "fact-name")
                    words(value, "fact-value num")
