"""What a model consists of: its files and the hash of every chunk. Its own SHA-256 is the model's address.

Chunks are 1 MiB. A chunk is what is verified, stored and asked of another peer when one fails, so it should be small;
but the manifest has 32 bytes for each, so it should be large: at 1 MiB the largest model has an 8 MiB manifest and a
7B model in 16 bits one of 440 KiB. A chunk need not travel whole: any range of it can be asked for, so that a relayed
link moves it in pieces of 48 KiB and a slow link in pieces that arrive within the time-out.

The bytes are canonical: equal content has one encoding and one address; any other encoding is refused.
"""

import hashlib
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

from waggle.core.errors import RemoteProtocolError
from waggle.mesh.files.formats import name_fault, path_fault
from waggle.mesh.limits import MIB
from waggle.mesh.packing import decode_as, encode

CHUNK_BYTES = MIB
HASH_BYTES = 32
MAX_FILES = 1_024
MAX_TOTAL_BYTES = 256 * 1_024 * MIB
MAX_MANIFEST_BYTES = 9 * MIB
"""262,144 chunks of 32 bytes, and 1,024 paths."""

Sha256 = Annotated[bytes, Meta(min_length=HASH_BYTES, max_length=HASH_BYTES)]
ManifestId = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class FileEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file: its path below the model's folder, its size in bytes, and its hashes, whole and per chunk."""

    path: Annotated[str, Meta(min_length=1, max_length=255)]
    size: Annotated[int, Meta(ge=0, le=MAX_TOTAL_BYTES)]
    sha256: Sha256
    chunks: Annotated[bytes, Meta(max_length=HASH_BYTES * (MAX_TOTAL_BYTES // CHUNK_BYTES))]
    """The SHA-256 of every chunk, one after the other; only the last chunk may be short."""


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model's files, sorted by path."""

    name: Annotated[str, Meta(min_length=1, max_length=96)]
    chunk_bytes: Annotated[int, Meta(ge=CHUNK_BYTES, le=CHUNK_BYTES)] = CHUNK_BYTES
    files: Annotated[tuple[FileEntry, ...], Meta(min_length=1, max_length=MAX_FILES)]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


class Chunk(Struct, frozen=True):
    """Where a chunk lies: the file's number, offset and length in bytes, and the SHA-256 it must have."""

    file: int
    offset: int
    length: int
    sha256: bytes


def chunks_of(manifest: Manifest) -> Iterator[Chunk]:
    """All chunks of all files, in order."""
    for number, file in enumerate(manifest.files):
        for at, offset in enumerate(range(0, file.size, CHUNK_BYTES)):
            digest = file.chunks[at * HASH_BYTES : (at + 1) * HASH_BYTES]
            yield Chunk(number, offset, min(CHUNK_BYTES, file.size - offset), digest)


def encode_manifest(manifest: Manifest) -> bytes:
    """The canonical bytes."""
    return encode(manifest, MAX_MANIFEST_BYTES)


def address(encoded: bytes) -> str:
    """The SHA-256 of a manifest's bytes, in hex: the model's address."""
    return hashlib.sha256(encoded).hexdigest()


def decode_manifest(encoded: bytes) -> Manifest:
    """The manifest in these bytes, which may come from anyone. Raises RemoteProtocolError where a rule is broken."""
    manifest = decode_as(Manifest, encoded, MAX_MANIFEST_BYTES, sender="the manifest is refused")
    if (fault := manifest_fault(manifest)) is not None:
        raise RemoteProtocolError(f"the manifest is refused: {fault}")
    if encode_manifest(manifest) != encoded:
        raise RemoteProtocolError("the manifest is refused: its encoding is not the canonical one")
    return manifest


def manifest_fault(manifest: Manifest) -> str | None:
    """The first rule that a manifest breaks, in words; None where it keeps them all."""
    if (fault := name_fault(manifest.name)) is not None:
        return fault
    if not manifest.files or len(manifest.files) > MAX_FILES:
        return f"{len(manifest.files)} files, allowed are 1 to {MAX_FILES}"
    if manifest.size > MAX_TOTAL_BYTES:
        return f"{manifest.size} bytes, allowed are {MAX_TOTAL_BYTES}"
    for file in manifest.files:
        if (fault := path_fault(file.path)) is not None:
            return fault
        if len(file.chunks) != HASH_BYTES * -(-file.size // CHUNK_BYTES):
            return f"{file.path!r} of {file.size} bytes has {len(file.chunks) / HASH_BYTES:g} hashes of chunks"
    return _order_fault([file.path for file in manifest.files])


def _order_fault(paths: list[str]) -> str | None:
    """Sorted, and no two that are one file, or a file and a folder, where case is not told apart."""
    if paths != sorted(paths):
        return "its files are not sorted by path"
    folded = {path.lower() for path in paths}
    if len(folded) < len(paths):
        return "two of its paths are the same where case is not told apart"
    folders = {path[:at] for path in folded for at, letter in enumerate(path) if letter == "/"}
    if both := sorted(folders & folded):
        return f"{both[0]!r} is both a file and a folder"
    return None
