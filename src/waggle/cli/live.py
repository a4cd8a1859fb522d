"""The live picture of a round in the terminal: who proposes, what arrives, how the strengths move."""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from waggle.cli.shared import plain_console
from waggle.core.errors import WaggleError
from waggle.core.ids import NodeId
from waggle.core.inert import one_line
from waggle.core.round_effects import AskProposal
from waggle.core.round_values import Event
from waggle.node.observing.names import names_of
from waggle.node.rounds.runner import Watch
from waggle.swarm.decide import strengths_of
from waggle.swarm.rank import words_for
from waggle.swarm.state import Phase, State

BAR = 24  # characters
WORDS = 40


@contextmanager
def live_round(*, quiet: bool) -> Iterator[Watch | None]:
    """A watcher to hand to the round; None where nothing is to be shown (JSON, or not a terminal)."""
    console = plain_console(stderr=True)
    if quiet or not console.is_interactive or not sys.stderr.isatty():
        yield None
        return
    bar = max(4, min(BAR, console.width // 4))
    with Live(Text("waking the models ..."), console=console, transient=True, refresh_per_second=12) as live:

        def watch(state: State, event: Event) -> None:
            live.update(_picture(state, bar))

        yield watch


def _picture(state: State, bar: int) -> Group:
    names = names_of(state.plan)
    waiting = [names[ask.node] for ask in (*state.open, *state.pending) if isinstance(ask, AskProposal)]
    proposing = state.phase is Phase.PROPOSE
    rows = _proposals(state, names, waiting) if proposing else _strengths(state, names, bar)
    lost = {names.get(NodeId(node), node): reason for node, reason in state.failures.items()}
    failures = [_words(f"{name}: {reason}", "red", 2 * WORDS) for name, reason in lost.items()]
    return Group(Text(_headline(state, len(waiting)), style="bold"), rows, *failures)


def _grid() -> Table:
    rows = Table.grid(padding=(0, 2))
    for _ in range(3):
        rows.add_column(no_wrap=True, overflow="crop")
    return rows


def _words(text: str, style: str = "", limit: int = WORDS) -> Text:
    return Text(one_line(text, limit), style=style, no_wrap=True, overflow="crop")


def _headline(state: State, waiting: int) -> str:
    if state.phase is Phase.PROPOSE:
        return f"proposing: {len(state.proposals)} in, {waiting} to come"
    count = state.count
    arrived = count.cast + count.unparseable + count.refused
    return f"ranking {len(state.candidates)} candidates: {arrived} of {count.asked} ballots in"


def _proposals(state: State, names: Mapping[str, str], waiting: Sequence[str]) -> Table:
    rows = _grid()
    for proposal in state.proposals:
        rows.add_row(_words(names[proposal.node], "bold"), _words(proposal.answer))
    for name in waiting:
        rows.add_row(_words(name, "dim"), Text(_doing(state, name, names), style="dim"))
    return rows


def _doing(state: State, name: str, names: Mapping[str, str]) -> str:
    committed = {names[NodeId(node)] for node in state.commits}
    return "has committed to an answer" if name in committed else "is thinking ..."


def _strengths(state: State, names: Mapping[str, str], bar: int) -> Table:
    """One bar per candidate, as long as its odds against the strongest; none where nothing can be fitted yet."""
    rows = _grid()
    try:
        strengths = [float(s) for s in strengths_of(state).s] if len(state.candidates) > 1 else [0.0]
    except WaggleError:
        return rows
    ranked = sorted(zip(strengths, state.candidates, strict=False), key=lambda pair: -pair[0])
    for strength, candidate in ranked:
        odds = math.exp(strength - ranked[0][0])
        shown = ProgressBar(total=1.0, completed=odds, width=bar, complete_style="yellow", finished_style="green")
        supporters = ", ".join(names[state.proposals[member].node] for member in candidate.members)
        rows.add_row(_words(words_for(state, candidate)), shown, _words(supporters, "dim"))
    return rows
