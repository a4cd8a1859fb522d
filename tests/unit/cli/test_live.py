"""The live picture moves in a terminal, stays away elsewhere, and does not obey what models write; ASCII will do."""

import io
import re
import sys

import pytest
from rich.console import Console
from rich.text import Text

from tests.unit.cli.rounds import hostile_engines, play
from waggle.cli.live import _grid, _words, live_round
from waggle.core.round_values import Event
from waggle.strategies.machine import Moment

OURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")  # what rich itself sends to move the cursor and to colour


class Screen(io.StringIO):
    """Keeps what is written to it, and says whether it is a terminal."""

    def __init__(self, *, terminal: bool = True) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        """As it was told."""
        return self.terminal


def shown(
    patch: pytest.MonkeyPatch, screen: Screen, *, quiet: bool = False, events: int = 1_000, **variables: str
) -> str:
    """What standard error gets to see of a hostile round, of which the first `events` events are watched."""
    for name, value in {"TERM": "xterm", **variables}.items():
        patch.setenv(name, value)
    patch.setattr(sys, "stderr", screen)
    with live_round(quiet=quiet) as watch:
        seen: list[Event] = []

        def look(moment: Moment, event: Event) -> None:
            seen.append(event)
            if watch is not None and len(seen) <= events:
                watch(moment, event)

        play(hostile_engines(), watch=look)
    return screen.getvalue()


def test_who_is_still_thinking_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = shown(monkeypatch, Screen(), events=1)
    assert "proposing: 0 in, 4 to come" in seen
    assert "is thinking ..." in seen


def test_ballots_and_strengths_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = shown(monkeypatch, Screen())
    assert re.search(r"ranking 2 candidates: \d+ of \d+ ballots in", seen)
    assert "━" in seen


@pytest.mark.parametrize("events", range(1, 12))
@pytest.mark.parametrize("columns", ["20", "80"])
def test_hostile_text_does_not_reach_the_terminal(events: int, columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = shown(monkeypatch, Screen(), events=events, COLUMNS=columns, NO_COLOR="1")
    assert seen
    assert not any(sent in seen for sent in ("\x1b[31m", "\x1b]0;", "\x1b[2J"))
    assert all(letter.isprintable() or letter == "\n" for letter in OURS.sub("", seen))


@pytest.mark.parametrize(("quiet", "term"), [(True, "xterm"), (False, "dumb")])
def test_nothing_is_shown_when_asked_not_to_or_in_a_dumb_terminal(
    quiet: bool, term: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shown(monkeypatch, Screen(), quiet=quiet, TERM=term) == ""


def test_nothing_is_shown_where_colours_are_forced_on_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, Screen(terminal=False), FORCE_COLOR="1") == ""


@pytest.mark.parametrize("width", [5, 40])
def test_a_text_that_does_not_fit_needs_no_letter_that_a_terminal_may_lack(width: int) -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii", errors="backslashreplace")
    rows = _grid()
    rows.add_row(_words("a long answer of a model " * 4, limit=80), Text("is thinking ..."))
    Console(file=out, width=width).print(rows)
    out.flush()
    assert b"\\u" not in raw.getvalue()
    assert raw.getvalue().startswith(b"a ")
    assert raw.getvalue().count(b"\n") == 1
