"""Which folder holds which manifest: one small record on disk for each, shared by all processes of the node.

    root/lock                             held while records or models change
    root/records/<manifest>.json          the record
    root/records/<manifest>.manifest      the manifest's bytes

A record that cannot be read counts as absent: what it told can be found out again by reading the folder.
"""

from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
from msgspec import Struct

from waggle.core.mesh_values import SharedFiles
from waggle.mesh.files import disk
from waggle.mesh.files.disk import Stamp
from waggle.mesh.files.manifest import MAX_FILES, Manifest, address, encode_manifest

MAX_RECORDS = 256
MAX_RECORD_BYTES = MAX_FILES * 1_024
LOCK_SECONDS = 10.0


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A folder that holds a manifest's files: their paths in the manifest's order, and their stamps when verified."""

    manifest: str
    name: str
    size: int
    folder: str
    paths: tuple[str, ...]
    stamps: tuple[Stamp, ...]
    shared: bool

    @property
    def summary(self) -> SharedFiles:
        """What others are told."""
        return SharedFiles(name=self.name, manifest=self.manifest, size=self.size)


class Records:
    """The records under one root; read again only where their files changed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = root / "records"
        self._read: dict[str, tuple[tuple[int, int], Record]] = {}

    def lock(self, seconds: float = LOCK_SECONDS) -> AbstractContextManager[None]:
        """Held by who changes records or models. Raises UsageError where another process keeps it longer."""
        return disk.locked(self._root / "lock", seconds, f"another process is busy with {self._root}; try again")

    def sweep(self) -> None:
        """Remove what a killed process was writing. The caller holds the lock."""
        for path in self._folder.glob("*.new"):
            path.unlink(missing_ok=True)

    def all(self) -> list[Record]:
        """Every record, sorted by name."""
        names = sorted(path.stem for path in self._folder.glob("*.json"))[:MAX_RECORDS]
        found = [record for name in names if (record := self.get(name)) is not None]
        return sorted(found, key=lambda record: (record.name, record.manifest))

    def get(self, manifest: str) -> Record | None:
        """The record of one manifest."""
        path = self._folder / f"{manifest}.json"
        try:
            stamp = (path.stat().st_mtime_ns, path.stat().st_ino)
            if (known := self._read.get(manifest)) is not None and known[0] == stamp:
                return known[1]
            record = msgspec.json.decode(path.read_bytes()[:MAX_RECORD_BYTES], type=Record)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            self._read.pop(manifest, None)
            return None
        self._read[manifest] = stamp, record
        return record

    def manifest_bytes(self, manifest: str) -> bytes:
        """The manifest that a record is about. Raises OSError."""
        return (self._folder / f"{manifest}.manifest").read_bytes()

    def manifest_range(self, manifest: str, offset: int, length: int) -> tuple[int, bytes]:
        """Its size, and up to `length` bytes of it. Raises OSError."""
        with disk.opened(self._folder, f"{manifest}.manifest") as file:
            return disk.stamp_of(file).size, disk.read_range(file, offset, length)

    def keep(self, manifest: Manifest, folder: Path, stamps: tuple[Stamp, ...], *, shared: bool) -> Record:
        """Write the record of a verified folder. The caller holds the lock. Raises OSError."""
        encoded = encode_manifest(manifest)
        record = Record(
            manifest=address(encoded),
            name=manifest.name,
            size=manifest.size,
            folder=str(folder),
            paths=tuple(file.path for file in manifest.files),
            stamps=stamps,
            shared=shared,
        )
        disk.write_whole(self._folder / f"{record.manifest}.manifest", encoded)
        self.replace(record)
        return record

    def replace(self, record: Record) -> None:
        """Write a record anew. The caller holds the lock. Raises OSError."""
        disk.write_whole(self._folder / f"{record.manifest}.json", msgspec.json.encode(record))

    def forget(self, manifest: str) -> None:
        """Remove a record; the folder stays. The caller holds the lock."""
        self._read.pop(manifest, None)
        (self._folder / f"{manifest}.json").unlink(missing_ok=True)
        (self._folder / f"{manifest}.manifest").unlink(missing_ok=True)
