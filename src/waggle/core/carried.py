"""Values that a task and all that it starts carry with them, for the time of a block."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Value = TypeVar("Value")


@contextmanager
def carrying(variable: ContextVar[Value], value: Value) -> Iterator[None]:
    """While the block runs the variable, which has a default, has this value; afterwards the one it had."""
    before = variable.get()
    variable.set(value)
    try:
        yield
    finally:
        variable.set(before)  # not by a token: a generator may be closed in another context than it began in
