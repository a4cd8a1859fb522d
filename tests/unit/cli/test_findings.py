"""The rows of `waggle doctor`: shown as they come, in any width, with what is tried only where somebody watches."""

import io
import os
import subprocess
import sys

import pytest

from tests.unit.cli.ran import COMMAND, Screen
from waggle.cli.findings import Row, row_lines, screen

REMARK = "between nodes of this machine; a firewall may still stop others"
ROW: Row = ("direct TCP", "works", REMARK, True)


@pytest.mark.parametrize("width", [None, 40, 69, 70, 80, 120])
def test_a_row_is_whole_at_any_width(width: int | None) -> None:
    lines = row_lines(ROW, width)
    assert " ".join(" ".join(lines).split()) == f"ok direct TCP works {REMARK}"
    assert lines == [line.rstrip() for line in lines]
    assert width is None or max(map(len, lines)) <= width
    assert len(lines) == 1 or width is not None


def test_a_row_without_a_remark_is_one_line() -> None:
    assert row_lines(("numpy", "2", "", True), 40) == ["ok  numpy            2"]


def test_a_row_is_out_before_the_next_thing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(errors := io.BytesIO()))
    with screen() as shown:
        shown.add([("python", "3", "", True)])
        assert raw.getvalue().decode().startswith("ok  python")
        shown.trying("multicast")
        shown.add([("multicast", "does not", "", None)])
        assert not shown.has_faults
        shown.add([("torch", "missing", "run make setup", False)])
        assert shown.has_faults
    assert [line[:2] for line in raw.getvalue().decode().splitlines()] == ["ok", "--", "!!"]
    sys.stderr.flush()
    assert errors.getvalue() == b""


@pytest.mark.parametrize("watched", ["stdout", "stderr"])
def test_a_terminal_tells_what_is_tried(monkeypatch: pytest.MonkeyPatch, watched: str) -> None:
    raw = {"stdout": io.BytesIO(), "stderr": io.BytesIO()}
    for name, buffer in raw.items():
        monkeypatch.setattr(sys, name, (Screen if name == watched else io.TextIOWrapper)(buffer))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    with screen() as shown:
        shown.trying("multicast")
        sys.stdout.flush()
        sys.stderr.flush()
        assert b"trying multicast ..." in raw[watched].getvalue()
        shown.add([("multicast", "works", "", True)])
    assert b"multicast        works" in raw["stdout"].getvalue()
    assert raw["stdout"].getvalue().isascii()
    if watched == "stderr":
        assert b"trying" not in raw["stdout"].getvalue()


@pytest.mark.slow
def test_doctor_says_what_it_knows_before_it_tries_the_network() -> None:
    with subprocess.Popen((*COMMAND, "doctor"), stdout=subprocess.PIPE, env={**os.environ}) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        assert process.poll() is None
        rest = process.stdout.read()
    assert lines[0].startswith(b"waggle ")
    assert b"direct TCP" not in b"".join(lines)
    assert b"direct TCP" in rest
