"""For whom work is done, so that caches can keep one caller's words apart from another's.

Set at the doors (a key at the gateway, a peer at a node), carried by the task and all that it starts, read where
something is remembered. It gives nobody a right, travels over no wire, and no result depends on it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from msgspec import Struct

from waggle.core.carried import carrying


class Owner(Struct, frozen=True):
    """Whose work it is. Work that shares an `asker` but not an `errand` is kept apart wherever that costs little.

    `asker` is who can be told apart from here; `errand` is one piece of business of an asker who may ask for others.
    Both are empty for the one user of a process.
    """

    asker: str = ""
    errand: str = ""


NOBODY = Owner()
_owner: ContextVar[Owner] = ContextVar("owner", default=NOBODY)


def owner() -> Owner:
    """Whose work this task does."""
    return _owner.get()


@contextmanager
def working_for(asker: str, errand: str = "") -> Iterator[None]:
    """While the block runs, and in the tasks that it starts, work is this asker's."""
    with carrying(_owner, Owner(asker, errand)):
        yield
