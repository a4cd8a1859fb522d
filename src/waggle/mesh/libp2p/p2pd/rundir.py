"""The directory for the daemon's sockets: ours alone, and swept of what the dead left behind.

Whoever can open the control socket speaks in our name, so the directory is 0700 and refused if it belongs to somebody
else. Socket files are named after the process that made them.
"""

import os
import secrets
import socket
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from waggle.core.errors import UsageError

MAX_SOCKET_PATH_BYTES = 103
"""What fits into a socket address, without its closing zero byte (104 on macOS, 108 on Linux)."""

SUFFIX = ".sock"


def prepare(wanted: Path | None) -> Path:
    """The directory, made if need be, checked, and swept.

    Raises:
        UsageError: it is a link, belongs to another user, cannot be made, or its name is too long for sockets.
    """
    folder = wanted or default_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_ours(folder)
        sweep(folder)
    except OSError as error:
        raise UsageError(f"{folder} cannot hold sockets: {error.strerror}") from None
    if len(os.fsencode(socket_path(folder, "control"))) > MAX_SOCKET_PATH_BYTES:
        raise UsageError(f"{folder} is too long a name for sockets; choose a run directory of less than 60 characters")
    return folder


def default_folder() -> Path:
    """Below $XDG_RUNTIME_DIR, which the system makes for one user; else in the directory for temporary files."""
    given = os.environ.get("XDG_RUNTIME_DIR")
    if given and os.path.isabs(given) and os.path.isdir(given):
        return Path(given) / "waggle"
    return Path(tempfile.gettempdir()) / f"waggle-{os.geteuid()}"


def _check_ours(folder: Path) -> None:
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise UsageError(f"{folder} is no directory: move it away or choose another run directory")
    if status.st_uid != os.geteuid():
        raise UsageError(f"{folder} belongs to another user: choose another run directory")
    if status.st_mode & 0o077:
        folder.chmod(0o700)


def socket_path(folder: Path, kind: str) -> str:
    """A new name for a socket of this process."""
    return str(folder / f"{kind}-{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}")


def sweep(folder: Path) -> None:
    """Remove the sockets whose maker is dead and to which nobody listens."""
    for path in folder.glob(f"*-*-*{SUFFIX}"):
        maker = path.name.split("-")[-2]
        if maker.isdecimal() and not _lives(int(maker)) and not _answers(path):
            with suppress(OSError):
                path.unlink()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _answers(path: Path) -> bool:
    """A process outside our view (another container) may still listen; connecting to a local socket never waits."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            pass
    return True
