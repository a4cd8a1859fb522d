"""A model on its way here: files written chunk by chunk, and a journal of which chunks are in.

    partial/<manifest>/lock       held by the fetching process; dies with it
    partial/<manifest>/manifest   the manifest's bytes
    partial/<manifest>/have       one bit per chunk, set after the chunk was written
    partial/<manifest>/files/     the files, sparse at first

Only verified bytes are written. The journal is a hint: on opening, every chunk it names is hashed again, so a kill, a
power cut or a damaged disk costs the chunks concerned and nothing else. Blocking: call it in a thread; `write` may run
in several threads at once.
"""

import hashlib
import os
import shutil
import threading
from contextlib import ExitStack
from pathlib import Path

from waggle.core.errors import RemoteProtocolError
from waggle.mesh.files import disk
from waggle.mesh.files.disk import Step, no_step
from waggle.mesh.files.formats import content_fault
from waggle.mesh.files.manifest import CHUNK_BYTES, Chunk, chunks_of, decode_manifest


class Partial:
    """Use as a context manager: leaving it gives the lock back."""

    def __init__(self, folder: Path, encoded: bytes) -> None:
        """Lock the folder and lay out the files.

        Raises UsageError where another fetch holds it, RemoteProtocolError for a bad manifest, OSError.
        """
        self.manifest = decode_manifest(encoded)
        self.chunks: list[Chunk] = list(chunks_of(self.manifest))
        self.folder, self.files, self._journal = folder, folder / "files", folder / "have"
        self._guard, self._held = threading.Lock(), ExitStack()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        busy = f"{self.manifest.name} is being fetched already by another command; wait for it or stop it"
        self._held.enter_context(disk.locked(folder / "lock", 0.0, busy))
        try:
            self._have = self._lay_out(encoded)
        except BaseException:
            self.close()
            raise

    def _lay_out(self, encoded: bytes) -> bytearray:
        """Every file at its full size, without using disk; gives the journal."""
        disk.write_whole(self.folder / "manifest", encoded)
        for file in self.manifest.files:
            (self.files / file.path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with disk.opened(self.files, file.path, os.O_RDWR | os.O_CREAT) as opened:
                os.ftruncate(opened, file.size)
        have = bytearray(-(-len(self.chunks) // 8))
        if self._journal.exists():
            old = self._journal.read_bytes()[: len(have)]
            have[: len(old)] = old
        disk.write_whole(self._journal, bytes(have))
        return have

    def __enter__(self) -> "Partial":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the lock back. Twice is harmless."""
        self._held.close()

    def has(self, number: int) -> bool:
        """Whether a chunk is in."""
        return bool(self._have[number // 8] >> number % 8 & 1)

    def missing(self) -> list[int]:
        """The numbers of the chunks that are not in."""
        return [number for number in range(len(self.chunks)) if not self.has(number)]

    def missing_bytes(self) -> int:
        """Bytes still to be fetched."""
        return sum(self.chunks[number].length for number in self.missing())

    def write(self, number: int, data: bytes) -> bool:
        """Keep a chunk; False, and nothing written, where it is not the chunk that was wanted. Raises OSError."""
        chunk = self.chunks[number]
        if len(data) != chunk.length or hashlib.sha256(data).digest() != chunk.sha256:
            return False
        with disk.opened(self.files, self.manifest.files[chunk.file].path, os.O_RDWR) as file:
            disk.write_range(file, chunk.offset, data)
        self._mark(number, there=True)
        return True

    def verify(self, step: Step = no_step) -> bool:
        """Hash every chunk that should be in, and every complete file as a whole; whether nothing is missing.

        A damaged chunk is missing afterwards. Raises RemoteProtocolError where the manifest contradicts itself.
        """
        first = 0
        for file in self.manifest.files:
            after = first + -(-file.size // CHUNK_BYTES)
            whole = self._verify_chunks(range(first, after), file.path, step)
            if whole is not None and whole != file.sha256:
                raise RemoteProtocolError(f"the manifest contradicts itself about {file.path!r}: refused")
            first = after
        return not self.missing()

    def _verify_chunks(self, numbers: range, path: str, step: Step) -> bytes | None:
        """The SHA-256 of a file whose chunks are all in, else None."""
        whole, complete = hashlib.sha256(), True
        with disk.opened(self.files, path) as file:
            for number in numbers:
                chunk = self.chunks[number]
                data = disk.read_range(file, chunk.offset, chunk.length) if self.has(number) else b""
                if hashlib.sha256(data).digest() == chunk.sha256:
                    whole.update(data)
                else:
                    complete = False
                    self._mark(number, there=False)
                step(len(data))
        return whole.digest() if complete else None

    def settle(self) -> None:
        """Make complete files outlast a power cut, and look whether they are what their suffixes say.

        Raises RemoteProtocolError where one is not; OSError.
        """
        for entry in self.manifest.files:
            with disk.opened(self.files, entry.path) as file:
                os.fsync(file)
            if (fault := content_fault(self.files / entry.path)) is not None:
                raise RemoteProtocolError(f"{self.manifest.name} is refused: {fault}")

    def remove(self) -> None:
        """Remove everything, and give the lock back."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.close()

    def _mark(self, number: int, *, there: bool) -> None:
        with self._guard:
            at, bit = number // 8, 1 << number % 8
            if bool(self._have[at] & bit) == there:
                return
            self._have[at] ^= bit
            with disk.opened(self.folder, "have", os.O_RDWR) as journal:
                disk.write_range(journal, at, bytes(self._have[at : at + 1]))
