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
        """Hash again what should be in: complete files as a whole, others by chunks; whether nothing is missing.

        A damaged chunk is missing afterwards. Raises RemoteProtocolError where the manifest contradicts itself.
        """
        first = 0
        for entry in self.manifest.files:
            numbers = range(first, first := first + -(-entry.size // CHUNK_BYTES))
            with disk.opened(self.files, entry.path) as file:
                if all(map(self.has, numbers)) and self._whole(file, numbers, step) == entry.sha256:
                    continue
                for number in filter(self.has, numbers):
                    self._verify_chunk(file, number, step)
            if all(map(self.has, numbers)):
                raise RemoteProtocolError(f"the manifest contradicts itself about {entry.path!r}: refused")
        return not self.missing()

    def _whole(self, file: int, numbers: range, step: Step) -> bytes:
        whole = hashlib.sha256()
        for number in numbers:
            whole.update(self._stored(file, number))
            step(self.chunks[number].length)
        return whole.digest()

    def _verify_chunk(self, file: int, number: int, step: Step) -> None:
        data = self._stored(file, number)
        step(len(data))
        if hashlib.sha256(data).digest() != self.chunks[number].sha256:
            self._mark(number, there=False)

    def _stored(self, file: int, number: int) -> bytes:
        return disk.read_range(file, self.chunks[number].offset, self.chunks[number].length)

    def settle(self, step: Step = no_step) -> None:
        """Make complete files outlast a power cut, and look whether they are what their suffixes say.

        Raises RemoteProtocolError where one is not; OSError.
        """
        for entry in self.manifest.files:
            with disk.opened(self.files, entry.path) as file:
                os.fsync(file)
            step(0)
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
