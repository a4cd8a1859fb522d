"""The id of the request that a task works for: in every log line, envelope and record, and told to servers of models.

It is random, so it tells nobody anything but that two pieces of work belong together. No result depends on it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from waggle.core.carried import carrying

_request: ContextVar[str] = ContextVar("request", default="")


def request_id() -> str:
    """The request that this task works for; empty where there is none."""
    return _request.get()


@contextmanager
def requested(request: str) -> Iterator[None]:
    """While the block runs, and in the tasks that it starts, work is this request's."""
    with carrying(_request, request):
        yield
