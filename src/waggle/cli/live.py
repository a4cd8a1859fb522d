"""The live picture of a round in the terminal: who proposes, what arrives, how the strengths move."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from waggle.cli.shared import plain_console
from waggle.core.inert import one_line
from waggle.core.round_picture import Part, Phase, RoundPicture
from waggle.core.round_values import Event
from waggle.node.observing.names import names_of
from waggle.strategies.machine import Moment, Watch

BAR = 24  # characters
WORDS = 40
THINKING = "is thinking ..."
WAITING = {
    Part.WAITING: THINKING,
    Part.THINKING: THINKING,
    Part.COMMITTED: "has committed to an answer",
}


@contextmanager
def live_round(*, quiet: bool) -> Iterator[Watch | None]:
    """A watcher to hand to the round; None where nothing is to be shown (JSON, or not a terminal)."""
    console = plain_console(stderr=True)
    if quiet or not console.is_interactive or not sys.stderr.isatty():
        yield None
        return
    bar = max(4, min(BAR, console.width // 4))
    with Live(Text("waking the models ..."), console=console, transient=True, refresh_per_second=12) as live:

        def watch(moment: Moment, event: Event) -> None:
            live.update(_picture(moment.picture(), bar))

        yield watch


def _picture(picture: RoundPicture, bar: int) -> Group:
    names = names_of(picture.plan)
    proposing = picture.phase in (Phase.WAITING, Phase.PROPOSE)
    rows = _proposals(picture, names) if proposing else _strengths(picture, names, bar)
    lost = [(proposer.node, proposer.reason) for proposer in picture.proposers if proposer.reason]
    failures = [_words(f"{names.get(node, node)}: {reason}", "red", 2 * WORDS) for node, reason in lost]
    return Group(Text(_headline(picture, proposing=proposing), style="bold"), rows, *failures)


def _grid() -> Table:
    rows = Table.grid(padding=(0, 2))
    for _ in range(3):
        rows.add_column(no_wrap=True, overflow="crop")
    return rows


def _words(text: str, style: str = "", limit: int = WORDS) -> Text:
    return Text(one_line(text, limit), style=style, no_wrap=True, overflow="crop")


def _headline(picture: RoundPicture, *, proposing: bool) -> str:
    if proposing:
        made = sum(proposer.part is Part.ANSWERED for proposer in picture.proposers)
        waiting = sum(proposer.part in WAITING for proposer in picture.proposers)
        return f"proposing: {made} in, {waiting} to come"
    count = picture.count
    arrived = count.cast + count.unparseable + count.refused
    return f"ranking {len(picture.candidates)} candidates: {arrived} of {count.asked} ballots in"


def _proposals(picture: RoundPicture, names: Mapping[str, str]) -> Table:
    rows = _grid()
    for proposer in picture.proposers:
        if proposer.proposal is not None:
            rows.add_row(_words(names[proposer.node], "bold"), _words(proposer.proposal.answer))
    for proposer in picture.proposers:
        if proposer.part in WAITING:
            rows.add_row(_words(names[proposer.node], "dim"), Text(WAITING[proposer.part], style="dim"))
    return rows


def _strengths(picture: RoundPicture, names: Mapping[str, str], bar: int) -> Table:
    """One bar per candidate, as long as its odds against the strongest; none where nothing can be fitted yet."""
    rows = _grid()
    for candidate in picture.candidates:
        if candidate.odds is not None:
            shown = ProgressBar(
                total=1.0, completed=candidate.odds, width=bar, complete_style="yellow", finished_style="green"
            )
            supporters = ", ".join(names[node] for node in candidate.supporters)
            rows.add_row(_words(candidate.answer), shown, _words(supporters, "dim"))
    return rows
