"""What peers ask each other about files: two kinds of call and one of stream, answered from what is on disk.

    LIST_PROTOCOL       call     AskList     -> Listing
    MANIFEST_PROTOCOL   call     AskManifest -> ManifestPiece
    CHUNK_PROTOCOL      stream   AskRange    -> one byte, a Refusal; after NONE exactly the bytes asked for

A stream answers one request after the other; streams move three times as many bytes as calls. Every answer can be
asked for in pieces, so that it fits through a relayed link.
"""

from typing import Annotated

from msgspec import Meta, Struct

from waggle.mesh.files.formats import NAME_PATTERN
from waggle.mesh.files.manifest import CHUNK_BYTES, MAX_FILES, MAX_MANIFEST_BYTES, MAX_TOTAL_BYTES, ManifestId
from waggle.mesh.limits import KIB

LIST_PROTOCOL = "/waggle/files/list/1"
MANIFEST_PROTOCOL = "/waggle/files/manifest/1"
CHUNK_PROTOCOL = "/waggle/files/chunk/1"

MAX_PIECE_BYTES = CHUNK_BYTES
"""One answer over a direct link."""
MAX_REQUEST_BYTES = KIB
MAX_LISTED = 64
"""Models that one node shares."""
MAX_LISTING_BYTES = 32 * KIB

Offset = Annotated[int, Meta(ge=0, le=MAX_TOTAL_BYTES)]
Length = Annotated[int, Meta(ge=1, le=MAX_PIECE_BYTES)]


class AskList(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What do you share?"""


class Listed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model that the answerer shares; size in bytes."""

    name: Annotated[str, Meta(pattern=NAME_PATTERN)]
    manifest: ManifestId
    size: Annotated[int, Meta(ge=0, le=MAX_TOTAL_BYTES)]


class Listing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that the answerer shares."""

    shared: Annotated[tuple[Listed, ...], Meta(max_length=MAX_LISTED)]


class AskManifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Up to `length` bytes of a manifest, from `offset`."""

    manifest: ManifestId
    offset: Annotated[int, Meta(ge=0, le=MAX_MANIFEST_BYTES)]
    length: Length


class ManifestPiece(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bytes of a manifest, and how many it has in all."""

    total: Annotated[int, Meta(ge=1, le=MAX_MANIFEST_BYTES)]
    data: Annotated[bytes, Meta(min_length=1, max_length=MAX_PIECE_BYTES)]


class AskRange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`length` bytes from `offset` of a manifest's file number `file`."""

    manifest: ManifestId
    file: Annotated[int, Meta(ge=0, lt=MAX_FILES)]
    offset: Offset
    length: Length
