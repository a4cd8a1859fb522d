"""Ctrl-C before a verb has begun: one line, no traceback."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.cli.ran import environment

pytestmark = pytest.mark.timeout(300)

PATIENCE_SECONDS = 60.0
BEGUN = """
import sys, waggle.cli.main as m
def tell(lenient=m._make_output_lenient):
    print("begun", flush=True)
    lenient()
m._make_output_lenient = tell
sys.exit(m.run_with(["models"]))
"""
SCRIPT = "import sys, waggle.cli.main as m; print(*sys.modules, flush=True); sys.exit(m.run_with(['models']))"


def test_the_verbs_are_imported_where_ctrl_c_is_caught() -> None:
    done = subprocess.run((sys.executable, "-c", SCRIPT), capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    before = set(done.stdout.splitlines()[0].split())
    assert "waggle.cli.main" in before
    assert before.isdisjoint({"typer", "click", "asyncio", "msgspec", "waggle.cli.verbs", "waggle.cli.up"})


def _take_interrupts() -> None:
    """A shell's background jobs ignore them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize("pause", [0.0, 0.05, 0.1])
def test_an_early_ctrl_c_is_no_traceback(tmp_path: Path, pause: float) -> None:
    """Before our own code has begun, it is Python's affair."""
    command = subprocess.Popen(
        [sys.executable, "-c", BEGUN], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment(WAGGLE_HOME=str(tmp_path)), preexec_fn=_take_interrupts,
    )  # fmt: skip
    assert command.stdout is not None
    os.read(command.stdout.fileno(), 1)
    time.sleep(pause)
    command.send_signal(signal.SIGINT)
    _, said = command.communicate(timeout=PATIENCE_SECONDS)
    assert said in ("waggle: interrupted\n", ""), said
