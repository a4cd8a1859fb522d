"""The examples on a page of the documentation, so that tests can run what the page shows."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[1] / "docs"
_BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    """Code, the line of the page on which it begins, and what the page says that it prints, where it says so."""

    code: str
    line: int
    shown: str


def examples_on(page: str) -> Iterator[Example]:
    """Every block of Python on a page, in order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        yield Example(found[1], text.count("\n", 0, found.start()) + 2, found[2] or "")
