"""What is printed reaches its reader, or somebody is told that it did not."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from waggle.core.errors import WaggleError


class OutputError(WaggleError):
    """Standard output takes no more: a full disk, most of the time."""


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Print inside, and nothing else; all of it is written at the end.

    Raises:
        OutputError: `what` cannot be written, and why. BrokenPipeError: the reader has left, which is its own affair.
    """
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {what}: {error.strerror or error}") from None
