"""The door of the command line: usage errors, failures, outputs that nobody reads, and a start without delay."""

import io
import os
import resource
import signal
import subprocess
import sys

import pytest

from tests.unit.cli.ran import COMMAND, Waggle, run_alone
from waggle import __version__
from waggle.cli.main import report_failure
from waggle.core.errors import EngineUnavailable, NotConverged, UsageError

pytestmark = pytest.mark.timeout(300)

HEAVY = {"torch", "numpy", "scipy", "reasoning_gym", "tokenizers", "httpx", "matplotlib", "rich", "pydantic"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nonsense"], "No such command 'nonsense'. (see waggle --help)"),
        (["ask"], "Missing argument 'QUESTION'. (see waggle ask --help)"),
        (["ask", "q", "--xyzzy"], "No such option: --xyzzy (see waggle ask --help)"),
        (["train"], "Missing command. (see waggle train --help)"),
        (["bench"], "Missing command. (see waggle bench --help)"),
    ],
)
def test_wrong_usage_is_one_line_that_names_the_help(waggle: Waggle, arguments: list[str], complaint: str) -> None:
    ran = waggle(*arguments)
    assert (ran.status, ran.complaint(), ran.out) == (2, complaint, "")


def test_no_arguments_give_the_help(waggle: Waggle) -> None:
    assert waggle() == waggle("--help")
    assert waggle().out.startswith("Usage: waggle [OPTIONS] COMMAND")


def test_the_version_is_told(waggle: Waggle) -> None:
    assert waggle("--version") == (0, f"waggle {__version__}\n", "")


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UsageError("no such thing"), 2, "no such thing"),
        (EngineUnavailable("it\nsaid \x1b[31mno"), 1, "it said \\x1b[31mno"),
        (PermissionError(13, "Permission denied", "a/b"), 1, "a/b: Permission denied"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ExceptionGroup("tasks", [NotConverged("no fit"), OSError()]), 1, "no fit"),
    ],
)
def test_a_failure_is_one_line(
    error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report_failure(error) == status
    assert capsys.readouterr() == ("", f"waggle: {line}\n")


def test_our_own_fault_is_one_line_that_asks_for_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert report_failure(ZeroDivisionError("division by zero")) == 1
    said = capsys.readouterr().err
    assert "please report it" in said
    assert "ZeroDivisionError: division by zero" in said
    assert said.count("\n") == 1


def test_a_traceback_is_shown_to_who_asks_for_it(waggle: Waggle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAGGLE_TRACEBACK", "1")
    with pytest.raises(UsageError):
        waggle("ask", "")


def test_a_character_that_the_terminal_lacks_is_escaped(waggle: Waggle, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, encoding="ascii"))
    assert waggle("größer").status == 2
    assert raw.getvalue().startswith(b"waggle: No such command 'gr\\xf6\\xdfer'.")


def test_help_imports_nothing_heavy() -> None:
    script = "import sys; from waggle.cli.main import run_with; run_with(['--help']); print(*sys.modules, sep='\\n')"
    done = subprocess.run((sys.executable, "-c", script), capture_output=True, check=True, timeout=50)
    found = {name.split(".")[0] for name in done.stdout.decode().splitlines()}
    assert "waggle" in found
    assert found & HEAVY == set()


def test_help_answers_within_four_tenths_of_a_second() -> None:
    """Of processor time: how long that takes is the machine's affair."""

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run_alone("--help").status == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) < 0.4


def test_a_reader_that_leaves_is_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nobody:
        done = subprocess.run((*COMMAND, "--help"), stdout=nobody, stderr=subprocess.PIPE, timeout=50)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("variables", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "POSIX"}])
def test_every_locale_gets_help_and_errors(variables: dict[str, str]) -> None:
    assert run_alone("--help", **variables).out.startswith("Usage: waggle")
    assert run_alone("größer", **variables).complaint().startswith("No such command")


class Interrupting(io.BytesIO):
    """Somebody presses Ctrl-C instead of typing; also where the tests themselves run in the background."""

    def read(self, size: int | None = -1) -> bytes:
        """Never comes to anything."""
        signal.raise_signal(signal.SIGINT)
        return b""


def test_interrupting_is_one_line_and_status_130(waggle: Waggle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Interrupting()))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        assert waggle("ask", "-") == (130, "", "waggle: interrupted\n")
    finally:
        signal.signal(signal.SIGINT, before)
