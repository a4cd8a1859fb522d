"""Rows of `waggle doctor`, shown as they come; in a terminal with what is being tried at the moment."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from waggle.cli.shared import plain_console
from waggle.cli.table import fold, screen_width, shown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

MARKS = {True: ("ok", "green"), None: ("--", "yellow"), False: ("!!", "red")}
NAME_WIDTH, FOUND_WIDTH = 15, 13
"""At least, so that rows stand below each other though later ones are not known yet."""
NARROW, NARROW_INDENT = 70, 4
"""On screens narrower than that, remarks go below."""

Row = tuple[str, str, str, bool | None]  # what, found, remark, whether that is fine; None: no, but there are other ways


class Screen:
    """Standard output, one row after the other; `live` says what is tried, where somebody watches."""

    def __init__(self, live: "Live | None") -> None:
        self.has_faults = False
        self._live = live

    @property
    def _console(self) -> "Console":
        """The one that the live line is on, where both are the same terminal: it keeps that line below the rows."""
        if self._live is not None and not self._live.console.stderr:
            return self._live.console
        return plain_console()

    def title(self, text: str) -> None:
        """What the rows are about."""
        self._console.print(text, style="bold", soft_wrap=True)

    def trying(self, what: str) -> None:
        """Say what takes time now."""
        from rich.spinner import Spinner
        from rich.text import Text

        if self._live is not None:
            line = Text(f" trying {shown(what)} ...", no_wrap=True, overflow="crop")
            self._live.update(Spinner("line", line), refresh=True)

    def add(self, rows: Sequence[Row]) -> None:
        """Show these rows now."""
        from rich.text import Text

        for row in rows:
            *_, fine = row
            self.has_faults |= fine is False
            text = Text("\n".join(row_lines(row, screen_width())))
            text.stylize(MARKS[fine][1], 0, 2)
            self._console.print(text, soft_wrap=True)


def row_lines(row: Row, width: int | None) -> list[str]:
    """A row as lines; its remark is folded beside the rest, or below it on a narrow screen."""
    name, found, remark, fine = row
    head = f"{MARKS[fine][0]}  {shown(name):<{NAME_WIDTH}}  {shown(found):<{FOUND_WIDTH}}"
    if width is not None and width < NARROW:
        below = fold(shown(remark), max(1, width - NARROW_INDENT)) if remark else []
        return [head.rstrip(), *(" " * NARROW_INDENT + line for line in below)]
    first, *more = [shown(remark)] if width is None else fold(shown(remark), max(1, width - len(head) - 2))
    return [f"{head}  {first}".rstrip(), *(" " * (len(head) + 2) + line for line in more)]


@contextmanager
def screen() -> Iterator[Screen]:
    """Where the rows go; the line on what is tried is gone at the end."""
    from rich.live import Live

    watching = next((stream for stream in (sys.stdout, sys.stderr) if stream is not None and stream.isatty()), None)
    if watching is None:
        yield Screen(None)
        return
    console = plain_console(stderr=watching is not sys.stdout)
    with Live(console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as live:
        yield Screen(live)
