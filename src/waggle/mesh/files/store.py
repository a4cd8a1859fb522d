"""The model files of one node: folders it shares where they lie, and fetched ones under its own root.

    root/                    0700
      models/<name>          fetched and verified, renamed here in one step
      partial/<manifest>/    being fetched: see `partial`
      records/               see `records`

Whatever file is no longer as it was hashed is not served until `refresh` has read it again. Several processes may use
one root. Blocking: call it in a thread. Errors are UsageError; OSError is translated here.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from waggle.core.errors import RemoteProtocolError, UsageError
from waggle.core.mesh_values import SharedFiles
from waggle.mesh.files import disk
from waggle.mesh.files.disk import Stamp, Step, no_step
from waggle.mesh.files.formats import content_fault
from waggle.mesh.files.manifest import Manifest, address, decode_manifest, manifest_fault
from waggle.mesh.files.partial import Partial
from waggle.mesh.files.records import Record, Records
from waggle.mesh.files.wire import MAX_LISTED

MAX_ADVERTISED = 16
"""Models named in a node's advert: at most 3 KiB of its 8."""


@contextmanager
def _in_words(doing: str) -> Iterator[None]:
    """Turn what the file system says into a UsageError."""
    try:
        yield
    except OSError as error:
        why = "the disk is full: make room, then do it again" if disk.is_full(error) else error.strerror or error
        raise UsageError(f"cannot {doing}: {why}") from error


class SharedFileChanged(UsageError):
    """A file is no longer the one that was shared under `name`."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class FileStore:
    """Knows which folder holds which model."""

    def __init__(self, root: Path) -> None:
        """Make the folders where they are missing. Raises UsageError where that is not possible."""
        self.root = root.expanduser().absolute()
        self.models, self.partials = self.root / "models", self.root / "partial"
        self._records = Records(self.root)
        self._suspended: set[str] = set()
        with _in_words(f"keep model files in {self.root}"):
            for folder in (self.root, self.models, self.partials, self.root / "records"):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.root.chmod(0o700)
            self._sweep()

    def _sweep(self) -> None:
        """Remove what a killed process left that is of no use; whatever somebody is at work on stays."""
        with suppress(UsageError), self._records.lock(seconds=0.0):
            self._records.sweep()
        for folder in self.partials.iterdir():
            if not (folder / "files").exists():  # landed, but not tidied up
                with suppress(UsageError), disk.locked(folder / "lock", 0.0, "in use"):
                    shutil.rmtree(folder, ignore_errors=True)

    # --- sharing

    def share(
        self, folder: Path, name: str | None = None, *, leave_out: bool = False, step: Step = no_step
    ) -> SharedFiles:
        """Share a folder, under its own name by default; it is read whole unless it is known and unchanged.

        Args:
            folder: an ordinary model folder. Files whose names begin with a dot are left out.
            name: what others fetch it by.
            leave_out: leave out files of formats that are never shared, instead of refusing the folder.
            step: told the bytes read.

        Raises:
            UsageError: no such folder, a file in it cannot be shared, the name is taken, or too much is shared.
        """
        with _in_words(f"share {folder}"):
            folder = folder.expanduser().resolve(strict=True)
            name = folder.name if name is None else name
            paths = disk.list_files(folder, leave_out=leave_out)
            with self._records.lock():
                self._check_room(folder, name)
            manifest, stamps = self._known(folder, name, paths) or _read_folder(folder, name, paths, step)
            with self._records.lock():
                self._check_room(folder, name)
                for record in self._of_folder(folder):
                    self._records.forget(record.manifest)
                record = self._records.keep(manifest, folder, stamps, shared=True)
            self._suspended.discard(record.manifest)
            return record.summary

    def unshare(self, wanted: str) -> bool:
        """Stop sharing what has this name or manifest; the files stay. False where nothing was shared by it."""
        with _in_words(f"stop sharing {wanted}"), self._records.lock():
            found = [record for record in self._records.all() if wanted in (record.name, record.manifest)]
            for record in found:
                self._records.replace(msgspec.structs.replace(record, shared=False))
        return any(record.shared for record in found)

    def shared(self) -> tuple[SharedFiles, ...]:
        """What is shared now, sorted by name."""
        records = [record for record in self._records.all() if record.shared and record.manifest not in self._suspended]
        return tuple(record.summary for record in records[:MAX_LISTED])

    def refresh(self, step: Step = no_step) -> tuple[str, ...]:
        """Look at all files again; changed ones are read. Gives the names of models whose files are others now."""
        gone = []
        for record in self._records.all():
            if self._verified(record, step) is None:
                gone.append(record.name)
                with _in_words("forget a changed model"), self._records.lock():
                    self._records.forget(record.manifest)
            self._suspended.discard(record.manifest)
        return tuple(gone)

    def _check_room(self, folder: Path, name: str) -> None:
        others = [record for record in self._records.all() if record.shared and record.folder != str(folder)]
        if len(others) >= MAX_LISTED:
            raise UsageError(f"{MAX_LISTED} models are shared already; stop sharing one first")
        if taken := [record.folder for record in others if record.name == name]:
            raise UsageError(f"{taken[0]} is shared as {name!r} already; give this one another name")

    def _of_folder(self, folder: Path) -> list[Record]:
        return [record for record in self._records.all() if record.folder == str(folder)]

    def _known(self, folder: Path, name: str, paths: list[str]) -> tuple[Manifest, tuple[Stamp, ...]] | None:
        """What is recorded of a folder, where not one file changed since."""
        for record in self._of_folder(folder):
            if (record.name, list(record.paths)) == (name, paths) and _stamps(folder, record.paths) == record.stamps:
                return self._manifest_of(record), record.stamps
        return None

    # --- serving

    def manifest_range(self, manifest: str, offset: int, length: int) -> tuple[int, bytes]:
        """The size of a shared manifest, and up to `length` of its bytes. Raises UsageError where it is not shared."""
        record = self._serving(manifest)
        with _in_words(f"read the manifest of {record.name}"):
            return self._records.manifest_range(manifest, offset, length)

    def read(self, manifest: str, file: int, offset: int, length: int) -> bytes:
        """Exactly `length` bytes of a shared file.

        Raises UsageError where the model is not shared or has no such bytes, and SharedFileChanged where the file is no
        longer the one that was hashed; the model is then suspended until `refresh` has read it or it is shared again.
        """
        record = self._serving(manifest)
        if not (0 <= file < len(record.paths) and offset >= 0 and 0 < length <= record.stamps[file].size - offset):
            raise UsageError(f"{record.name} has no bytes {offset} to {offset + length} in its file {file}")
        try:
            with disk.opened(Path(record.folder), record.paths[file]) as opened:
                before, data = disk.stamp_of(opened), disk.read_range(opened, offset, length)
                if before == disk.stamp_of(opened) == record.stamps[file] and len(data) == length:
                    return data
        except OSError:
            pass  # gone, swapped for a link, unreadable: all the same to who asks
        self._suspended.add(manifest)
        raise SharedFileChanged(
            record.name,
            f"{record.paths[file]} in {record.folder} changed; {record.name} is not served until read again",
        )

    def _serving(self, manifest: str) -> Record:
        record = self._records.get(manifest)
        if record is None or not record.shared or manifest in self._suspended:
            raise UsageError(f"{manifest} is not shared here")
        return record

    # --- fetching

    def find(self, wanted: str, step: Step = no_step) -> Record | None:
        """A complete model that is here, by name or manifest; read again where its files changed."""
        for record in self._records.all():
            if wanted in (record.name, record.manifest) and (found := self._verified(record, step)) is not None:
                return found
        return None

    def adopt(self, manifest: Manifest, *, share: bool, step: Step = no_step) -> Record | None:
        """Record `models/<name>` where it holds this manifest's files already; None where there is no such folder.

        Raises UsageError where the folder holds something else.
        """
        folder = self.models / manifest.name
        if not folder.exists():
            return None
        if (stamps := _matching(folder, manifest, step)) is None:
            raise UsageError(f"{folder} holds other files; move or remove it, then fetch again")
        with _in_words(f"record {folder}"), self._records.lock():
            return self._records.keep(manifest, folder, stamps, shared=share)

    def begun_manifest(self, manifest: str) -> bytes | None:
        """The manifest of a fetch that was begun here and not ended, where its bytes are intact."""
        try:
            encoded = (self.partials / manifest / "manifest").read_bytes()
        except OSError:
            return None
        return encoded if address(encoded) == manifest else None

    def open_partial(self, encoded: bytes) -> Partial:
        """The files being fetched of a manifest, locked for us. Raises UsageError where another fetch has them."""
        return Partial(self.partials / address(encoded), encoded)

    def land(self, partial: Partial, *, share: bool) -> Record:
        """Move verified files to `models/<name>` and record them. Raises UsageError where the name is taken."""
        manifest = partial.manifest
        target = self.models / manifest.name
        with _in_words(f"move {manifest.name} to {target}"), self._records.lock():
            if target.exists():
                raise UsageError(f"{target} is there by now; move or remove it, then fetch again")
            partial.files.rename(target)
            disk.sync_folder(self.models)
            stamps = _stamps(target, tuple(file.path for file in manifest.files))
            record = self._records.keep(manifest, target, stamps, shared=share)
        partial.remove()
        return record

    def free_bytes(self) -> int:
        """What the disk under the root has room for."""
        return shutil.disk_usage(self.root).free

    def _manifest_of(self, record: Record) -> Manifest:
        """Raises RemoteProtocolError or OSError where the recorded manifest is damaged."""
        return decode_manifest(self._records.manifest_bytes(record.manifest))

    def _verified(self, record: Record, step: Step) -> Record | None:
        """The record, with new stamps where the files were touched but are the same; None where they are not."""
        folder = Path(record.folder)
        try:
            if record.manifest not in self._suspended and _stamps(folder, record.paths) == record.stamps:
                return record
            stamps = _matching(folder, self._manifest_of(record), step)
        except (OSError, RemoteProtocolError):
            return None
        if stamps is None:
            return None
        with _in_words(f"record {folder}"), self._records.lock():
            self._records.replace(fresh := msgspec.structs.replace(record, stamps=stamps))
        return fresh


def shared(store: FileStore) -> tuple[SharedFiles, ...]:
    """What a node's advert says it shares: the first of many, since an advert is small. Blocking, but short."""
    return store.shared()[:MAX_ADVERTISED]


def _stamps(folder: Path, paths: tuple[str, ...]) -> tuple[Stamp, ...]:
    """The stamps of files. Raises OSError."""
    found = []
    for path in paths:
        with disk.opened(folder, path) as opened:
            found.append(disk.stamp_of(opened))
    return tuple(found)


def _read_folder(folder: Path, name: str, paths: list[str], step: Step) -> tuple[Manifest, tuple[Stamp, ...]]:
    """Hash every file. Raises UsageError where the result is no manifest that others would take."""
    for path in paths:
        if (fault := content_fault(folder / path)) is not None:
            raise UsageError(f"{folder} cannot be shared as it is: {fault}")
    hashed = [disk.hash_file(folder, path, step) for path in paths]
    manifest = Manifest(name=name, files=tuple(entry for entry, _ in hashed))
    if (fault := manifest_fault(manifest)) is not None:
        raise UsageError(f"{folder} cannot be shared as it is: {fault}")
    return manifest, tuple(stamp for _, stamp in hashed)


def _matching(folder: Path, manifest: Manifest, step: Step) -> tuple[Stamp, ...] | None:
    """The stamps of a folder's files where every one is as the manifest says, else None."""
    found = []
    for file in manifest.files:
        try:
            entry, stamp = disk.hash_file(folder, file.path, step)
        except (OSError, UsageError):
            return None
        if entry != file:
            return None
        found.append(stamp)
    return tuple(found)
