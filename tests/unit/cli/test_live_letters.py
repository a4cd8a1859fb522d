"""The live picture in a terminal that knows only ASCII."""

import io

import pytest
from rich.console import Console
from rich.text import Text

from waggle.cli.live import _grid, _words


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
