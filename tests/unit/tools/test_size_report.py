"""The size report passes small source, warns in between and fails large source."""

from pathlib import Path

import pytest

from tools.size_report import faults_of, measure, warnings_of


def function_of(lines: int) -> str:
    """A function of exactly that many lines, docstring not counted."""
    return "def f():\n    '''One.\n\n    Two.'''\n" + "    x = 1\n" * (lines - 1)


@pytest.mark.parametrize(
    ("text", "warnings", "faults"),
    [
        ("", 0, 0),
        ("x = 1\n" * 400, 0, 0),
        ("x = 1\n" * 401, 1, 0),
        ("x = 1\n" * 500, 1, 0),
        ("x = 1\n" * 501, 0, 1),
        (function_of(60), 0, 0),
        (function_of(61), 0, 1),
    ],
)
def test_limits_hold_to_the_line(tmp_path: Path, text: str, warnings: int, faults: int) -> None:
    path = tmp_path / "core" / "a.py"
    path.parent.mkdir()
    path.write_text(text)
    file = measure(path, tmp_path)
    assert (len(warnings_of([file])), len(faults_of([file]))) == (warnings, faults)
