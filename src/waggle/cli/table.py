"""Tables of plain text that fit their screen: columns that are needed less are left out, long cells are folded.

What names a row is never cut. Where no terminal is, nothing bounds the width; no line ends in blanks.
"""

import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from msgspec import Struct

from waggle.core.inert import inert

GAP = "  "
LEGIBLE = 24
"""To this width cells are folded rather than that a column is left out; narrower ones only where none is to spare."""


class Column(Struct, frozen=True):
    """A head, the cells below, and what may happen to them on a narrow screen.

    Columns with the largest `spare` are left out first, those with 0 never. One that folds goes over several lines,
    between words; where `least` is given, words longer than that are broken too.
    """

    head: str
    cells: tuple[str, ...]
    spare: int = 0
    folds: bool = False
    least: int | None = None

    @property
    def width(self) -> int:
        """Of the widest cell."""
        return max(map(_width, (self.head, *self.cells)))

    def narrowest(self, legible: int = 0) -> int:
        """Down to what it can be folded, yet not below `legible`."""
        if not self.folds:
            return self.width
        word = max(map(_width, (self.head, *(word for cell in self.cells for word in cell.split()))))
        least = word if self.least is None else max(_width(self.head), min(self.least, word))
        return min(self.width, max(least, legible))


def screen_width() -> int | None:
    """Columns of the terminal that standard output is; None where it is none."""
    stream = sys.stdout
    return shutil.get_terminal_size().columns if stream is not None and stream.isatty() else None


def shown(text: str) -> str:
    """Foreign text on one line, in the letters that standard output can write."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return " ".join(inert(text).split()).encode(encoding, "backslashreplace").decode(encoding)


def print_table(columns: Sequence[Column]) -> None:
    """The table on standard output, as wide as that is; its head is bold in a terminal."""
    from waggle.cli.shared import plain_console

    head, *lines = table_lines(columns, screen_width())
    console = plain_console()
    console.print(head, style="bold", soft_wrap=True)
    for line in lines:
        console.print(line, soft_wrap=True)


def table_lines(columns: Sequence[Column], width: int | None) -> list[str]:
    """The head, a rule and the rows, at most `width` wide where names and needed columns leave room for that."""
    kept = list(columns)
    while width is not None and _least(kept, LEGIBLE) > width and any(each.spare for each in kept):
        kept.remove(max(kept, key=lambda column: column.spare))
    widths = _widths(kept, width)
    rows = zip(*(column.cells for column in kept), strict=True)
    return [
        _line([column.head for column in kept], widths),
        _line(["-" * size for size in widths], widths),
        *(line for row in rows for line in _folded(row, widths)),
    ]


def _least(columns: Sequence[Column], legible: int) -> int:
    """How wide the table is with every column folded as far as can be."""
    return sum(column.narrowest(legible) for column in columns) + len(GAP) * (len(columns) - 1)


def _widths(columns: Sequence[Column], width: int | None) -> list[int]:
    """Of each column, those that fold made narrower as far as is needed and possible, the widest first."""
    widths = [column.width for column in columns]
    excess = 0 if width is None else sum(widths) + len(GAP) * (len(columns) - 1) - width
    least = [column.narrowest() for column in columns]
    for _ in range(max(0, excess)):
        spare = [number for number, size in enumerate(widths) if size > least[number]]
        if not spare:
            break
        widths[max(spare, key=widths.__getitem__)] -= 1
    return widths


def _folded(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    parts = (fold(cell, size) for cell, size in zip(row, widths, strict=True))
    for cells in zip_longest(*parts, fillvalue=""):
        yield _line(cells, widths)


def fold(text: str, width: int) -> list[str]:
    """The text in lines of `width` columns, broken between words where it can be."""
    lines = [""]
    for word in text.split(" "):
        rest = word
        if lines[-1] and _width(lines[-1]) + 1 + _width(rest) <= width:
            lines[-1] += f" {rest}"
            continue
        while _width(rest) > width > 0:
            lines, rest = [*lines, rest[:width]], rest[width:]
        lines.append(rest)
    return lines[1:]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return GAP.join(cell + " " * (size - _width(cell)) for cell, size in zip(cells, widths, strict=True)).rstrip()


def _width(text: str) -> int:
    """In columns: some letters are two wide."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
