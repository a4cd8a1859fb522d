"""The id of the request that a task works for: in every log line, envelope and record, and told to servers of models.

It is random, so it tells nobody anything but that two pieces of work belong together. No result depends on it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_request: ContextVar[str] = ContextVar("request", default="")


def request_id() -> str:
    """The request that this task works for; empty where there is none."""
    return _request.get()


@contextmanager
def requested(request: str) -> Iterator[None]:
    """While the block runs, and in the tasks that it starts, work is this request's."""
    before = _request.get()
    _request.set(request)
    try:
        yield
    finally:
        _request.set(before)  # not by a token: a generator may be closed in another context than it began in
