"""`import waggle` costs next to nothing and has everything that a program needs of it by name."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import waggle

MOST_MS = 50.0
HEAVY = ("numpy", "torch", "asyncio", "msgspec", "waggle.core")
MEASURE = """
import sys, time
began = time.process_time()
import waggle
print(1e3 * (time.process_time() - began), *(name for name in sys.argv[1:] if name in sys.modules))
"""


def imported() -> tuple[float, list[str]]:
    """The milliseconds of processor time that `import waggle` takes, and what heavy it imports."""
    command = [sys.executable, "-c", MEASURE, *HEAVY]
    milliseconds, *heavy = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(milliseconds), heavy


def test_the_import_is_fast_and_brings_nothing_heavy() -> None:
    runs = [imported() for _ in range(3)]
    assert [heavy for _, heavy in runs] == [[]] * 3
    assert min(milliseconds for milliseconds, _ in runs) < MOST_MS


@pytest.mark.parametrize("name", waggle.__all__)
def test_every_name_is_there_and_described(name: str) -> None:
    assert name in dir(waggle)
    found = getattr(waggle, name)
    assert name == "__version__" or inspect.getdoc(found)


def test_whoever_reads_types_sees_the_same_names_from_the_same_places() -> None:
    (guarded,) = (node for node in ast.parse(Path(waggle.__file__).read_text()).body if isinstance(node, ast.If))
    seen = {
        alias.asname: f"{statement.module}.{alias.name}"
        for statement in guarded.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert seen == {name: f"{home}.{name}" for name, home in waggle._HOMES.items()}


def test_what_is_not_there_is_told_as_by_every_module() -> None:
    with pytest.raises(AttributeError, match="module 'waggle' has no attribute 'nosuch'"):
        assert waggle.nosuch  # type: ignore[attr-defined]


def test_the_version_is_a_literal_where_the_build_reads_it() -> None:
    assert f'\n__version__ = "{waggle.__version__}"\n' in Path(waggle.__file__).read_text()
