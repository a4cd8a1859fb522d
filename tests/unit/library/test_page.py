"""The page about Python shows what runs, and what it prints."""

import ast
import asyncio
import inspect
from pathlib import Path
from types import FunctionType

import pytest

from tests.pages import DOCS, Example, examples_on

PAGE = "python.md"
pytestmark = pytest.mark.timeout(300)


def run(example: Example, namespace: dict[str, object]) -> None:
    """Run an example as a notebook does: what it awaits at its top has a loop, all else has none."""
    padded = "\n" * (example.line - 1) + example.code
    code = compile(padded, f"docs/{PAGE}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    done = FunctionType(code, namespace)()
    if inspect.iscoroutine(done):
        asyncio.run(done)


def test_the_examples_run_in_their_order_and_print_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WAGGLE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "page"}
    examples = list(examples_on(PAGE))
    for example in examples:
        run(example, namespace)
        assert capsys.readouterr().out == example.shown, f"line {example.line}"
    assert len(examples) == (DOCS / PAGE).read_text().count("```python")
