"""What the tests of the command line share: running it in this process, away from the user's own files."""

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.unit.cli.ran import Ran, Running, Waggle, address, run_info
from tests.unit.models.tiny import tiny_folder
from waggle.cli.main import run_with
from waggle.node.home.home import NodeHome


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibrations of whoever runs the tests play no part, nor do their colours or the width of their terminal."""
    monkeypatch.setenv("WAGGLE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("FORCE_COLOR", "NO_COLOR", "WAGGLE_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model that answers anything with nonsense."""
    return tiny_folder(tmp_path_factory.mktemp("models") / "random", marker=None)


@pytest.fixture
def waggle(capsys: pytest.CaptureFixture[str]) -> Waggle:
    """Run one command line."""

    def run(*arguments: str) -> Ran:
        status = run_with(list(arguments))
        printed = capsys.readouterr()
        return Ran(status, printed.out, printed.err)

    return run


@pytest.fixture
def running() -> Iterator[Running]:
    """Nodes that seem to run."""
    with ExitStack() as held:

        def run(root: Path, *names: str) -> None:
            for port, name in enumerate(names, start=1):
                home = NodeHome(root, name)
                held.enter_context(home.lock())
                home.publish(run_info(name=name, addresses=(address(port),)))

        yield run


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Put bytes on standard input."""
    return lambda data: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
