"""What the kernel says of processes: who runs below a folder of nodes, whose child, with how much memory.

Reads /proc and nothing else. A process that ends while it is looked at counts as gone; so does a zombie.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

Found = TypeVar("Found")

PROC = Path("/proc")
PAUSE_SECONDS = 0.05
PATIENCE_SECONDS = 60.0
"""What a busy machine may take for what takes a second or five: the tests wait for facts, not for times."""


class Figures(NamedTuple):
    """What a process holds: resident memory in KiB, open file descriptors, threads."""

    rss_kib: int
    descriptors: int
    threads: int


def until(look: Callable[[], Found | None], seconds: float, what: str) -> Found:
    """The first truthy value of `look`; a look that began in time counts, however long it takes."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if found := look():
            return found
        time.sleep(PAUSE_SECONDS)
    raise AssertionError(f"not within {seconds:g} s: {what}")


def _pids() -> Iterator[int]:
    return (int(entry) for entry in os.listdir(PROC) if entry.isdigit())


def _status(pid: int) -> dict[str, str]:
    """The fields of /proc/PID/status; empty where the process is gone."""
    with suppress(OSError):
        lines = (PROC / str(pid) / "status").read_text(errors="replace").splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return {}


def is_alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    return not _status(pid).get("State", "Z").startswith(("Z", "X"))


def processes_of(home: Path) -> list[int]:
    """Those that were started with this WAGGLE_HOME, daemons included."""
    mark = f"WAGGLE_HOME={home}".encode()
    return [pid for pid in _pids() if mark in _environment(pid) and is_alive(pid)]


def _environment(pid: int) -> list[bytes]:
    with suppress(OSError):
        return (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    return []


def daemon_of(pid: int) -> int:
    """The libp2p daemon of a node."""
    found = [child for child in _pids() if _is_daemon(_status(child), pid) and is_alive(child)]
    assert len(found) == 1, f"process {pid} has {len(found)} daemons"
    return found[0]


def _is_daemon(status: dict[str, str], parent: int) -> bool:
    return status.get("PPid") == str(parent) and status.get("Name") == "p2pd"


def figures_of(pid: int) -> Figures:
    """What a live process holds now."""
    status = _status(pid)
    return Figures(
        rss_kib=int(status["VmRSS"].split()[0]),
        descriptors=len(os.listdir(PROC / str(pid) / "fd")),
        threads=int(status["Threads"]),
    )


def send(number: signal.Signals, *pids: int) -> None:
    """Send a signal; to a process that is gone, nothing."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
