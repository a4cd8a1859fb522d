"""Outputs that cannot be written, wrong values, bars: each is told in plain words and leaves nothing behind."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.cli.ran import COMMAND, Waggle
from waggle.cli.fetch import _bars, _report
from waggle.cli.main import plain_usage
from waggle.cli.output import OutputError, writing
from waggle.core.ids import NodeId
from waggle.mesh.files.fetching.fetch import Fetched, Progress
from waggle.node.config.table import SETTINGS

NO_SPACE = OSError(28, "No space left on device")


def test_an_answer_that_cannot_be_written_is_said_to_be_that() -> None:
    with pytest.raises(OutputError, match=r"^cannot write the answer: No space left on device$"), writing("the answer"):
        raise NO_SPACE


def test_a_reader_that_has_left_is_no_failure_to_write() -> None:
    with pytest.raises(BrokenPipeError), writing("the answer"):
        raise BrokenPipeError


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full disk to write to")
@pytest.mark.parametrize("arguments", [["--help"], ["config"], ["config", "--json"], ["config", "--example"]])
def test_a_full_disk_is_told_with_what_was_tried(arguments: Sequence[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run((*COMMAND, *arguments), stdout=full, stderr=subprocess.PIPE, timeout=50)
    assert done.returncode == 1
    assert done.stderr.decode().startswith("waggle: cannot write")
    assert done.stderr.endswith(b": No space left on device\n")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ask", "q", "--seed", "x"], "'--seed': it must be a whole number"),
        (["ask", "q", "--seed", "-1"], "'--seed': it must be at least 0"),
        (["ask", "q", "--seed", "99999999999"], "'--seed': it must be at most 4294967295"),
        (["key", "create", "n", "--scope", "foo"], "'--scope': it must be one of ask, admin"),
        (["bench", "mesh", "--seconds", "x"], "'--seconds': it must be a number"),
    ],
)
def test_a_wrong_value_is_told_in_our_words(waggle: Waggle, arguments: Sequence[str], said: str) -> None:
    ran = waggle(*arguments)
    assert ran.complaint(2).startswith(f"Invalid value for {said} (see waggle ")


@pytest.mark.parametrize("message", ["No such option: --x", "Invalid value for '--x': the moon is full", ""])
def test_what_is_not_known_is_told_as_it_is(message: str) -> None:
    assert plain_usage(message) == message


def test_no_bar_is_drawn_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with _bars() as tell:
        tell(Progress(phase="finding", name="nonesuch"))
    assert capsys.readouterr() == ("", "")


def test_a_fetch_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    done = Fetched(
        name="sage",
        manifest="0" * 64,
        path=Path("/m/sage"),
        size=1_936_402,
        sources=(NodeId("n"),),
        fetched_bytes=1_936_402,
        seconds=2.0,
    )
    _report(done)
    assert capsys.readouterr() == ("/m/sage\n", "sage: 1.9 MB from 1 peer in 2.0 s, 968 kB/s\n")


def narrow(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """Let standard output be a terminal of so many columns."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "dumb")


@pytest.mark.parametrize("columns", [40, 80])
def test_names_of_settings_are_whole_at_any_width(
    waggle: Waggle, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    narrow(monkeypatch, columns)
    lines = waggle("config", "--engine", "one", "--engine", "two").out.splitlines()
    assert {line.split()[0] for line in lines} >= set(SETTINGS)
    assert lines == [line.rstrip() for line in lines]
    assert max(len(line) for line in lines if "/" not in line) <= columns
    value = next(number for number, line in enumerate(lines) if line.split()[0] == "engines")
    assert "one" in lines[value]
    assert lines[value + 1].strip() == "two"
    assert any("--engine" in line for line in lines[value : value + 3])


def test_json_is_one_line(waggle: Waggle) -> None:
    out = waggle("config", "--json").out
    assert out.count("\n") == 1
    assert json.loads(out)
