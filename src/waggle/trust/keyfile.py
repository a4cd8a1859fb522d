"""The file that holds a node's key: libp2p's protobuf PrivateKey, readable by its owner alone.

68 bytes: the header (type Ed25519, 64 bytes), the seed, the public key. The libp2p daemon reads the same file.
"""

import os
import shlex
import stat
import tempfile
import time
from contextlib import suppress
from glob import escape
from pathlib import Path

from waggle.core.errors import UsageError

HEADER = bytes([0x08, 0x01, 0x12, 0x40])
RSA_HEADER = bytes([0x08, 0x00])
SIZE = len(HEADER) + 64
LEFT_SECONDS = 60.0  # after which nobody makes a key any longer


def read(path: Path) -> tuple[bytes, bytes]:
    """The seed and the public key, 32 bytes each; whether they belong together is the caller's check.

    Raises:
        UsageError: no such file, not a file of ours, or open to others; says what to do.
    """
    content = _read_private(path)
    if len(content) == SIZE and content.startswith(HEADER):
        return content[4:36], content[36:]
    if content.startswith(RSA_HEADER):
        raise UsageError(f"{path} holds an RSA key; waggle needs an Ed25519 key: move it away and a new one is made")
    if content.startswith(b"-----BEGIN"):
        raise UsageError(f"{path} holds a key in PEM form; waggle needs libp2p's form: move it away, a new one is made")
    raise UsageError(f"{path} is damaged or no key file ({len(content)} bytes read, a key has {SIZE})")


def _read_private(path: Path) -> bytes:
    """At most a little more than a key, from a plain file that nobody else can read or write."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"cannot read the key file {path}: {error.strerror}") from None
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise UsageError(f"{path} is not a plain file")
        if mode & 0o077:
            raise UsageError(f"the key file {path} is open to others; type: chmod 600 {shlex.quote(str(path))}")
        return os.read(handle, SIZE + 1)
    finally:
        os.close(handle)


def create(path: Path, seed: bytes, public: bytes) -> bool:
    """Write a new key file, whole or not at all; False where one is there already, which is left as it is.

    Raises:
        UsageError: the place cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(path)
        return _link_new(path, HEADER + seed + public)
    except OSError as error:
        raise UsageError(f"cannot write the key file {path}: {error.strerror}") from None


def _sweep(path: Path) -> None:
    """Remove the unfinished keys that killed processes left."""
    for unfinished in path.parent.glob(f".{escape(path.name)}-*"):
        with suppress(FileNotFoundError):
            if time.time() - unfinished.stat().st_mtime > LEFT_SECONDS:
                unfinished.unlink()


def _link_new(path: Path, content: bytes) -> bool:
    """Fill a file of mode 0600 under another name, then give it its own, which fails where that is taken."""
    handle, unfinished = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        os.link(unfinished, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(unfinished)
    return True
