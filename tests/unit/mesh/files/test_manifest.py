"""A manifest is its content's only description; every other one is refused."""

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from waggle.core.errors import RemoteProtocolError
from waggle.mesh.files.manifest import (
    CHUNK_BYTES,
    MAX_FILES,
    MAX_MANIFEST_BYTES,
    MAX_TOTAL_BYTES,
    FileEntry,
    Manifest,
    address,
    chunks_of,
    decode_manifest,
    encode_manifest,
    manifest_fault,
)


def entry(path: str, size: int = 10, *, hashes: int | None = None) -> FileEntry:
    count = -(-size // CHUNK_BYTES) if hashes is None else hashes
    return FileEntry(path=path, size=size, sha256=bytes(32), chunks=bytes(32 * count))


def manifest(*paths: str) -> Manifest:
    return Manifest(name="thyme", files=tuple(entry(path) for path in paths))


def raw(value: object) -> bytes:
    return msgspec.msgpack.encode(value)


def plain(**changes: object) -> dict[str, object]:
    file = {"path": "a.json", "size": 1, "sha256": bytes(32), "chunks": bytes(32)}
    return {"name": "thyme", "chunk_bytes": CHUNK_BYTES, "files": [file | changes]}


def test_a_manifest_survives_the_wire() -> None:
    whole = Manifest(name="thyme", files=(entry("a.json", 0), entry("b/c.safetensors", 3 * CHUNK_BYTES + 1)))
    assert decode_manifest(encode_manifest(whole)) == whole


def test_the_address_is_the_hash_of_the_bytes() -> None:
    encoded = encode_manifest(manifest("a.json"))
    assert address(encoded) == hashlib.sha256(encoded).hexdigest()
    assert address(encode_manifest(manifest("b.json"))) != address(encoded)


def test_chunks_cover_every_file_once() -> None:
    files = (entry("a.json", 0), entry("b.txt", CHUNK_BYTES), entry("c.txt", 2 * CHUNK_BYTES + 5))
    found = [(chunk.file, chunk.offset, chunk.length) for chunk in chunks_of(Manifest(name="x", files=files))]
    assert found == [(1, 0, CHUNK_BYTES), (2, 0, CHUNK_BYTES), (2, CHUNK_BYTES, CHUNK_BYTES), (2, 2 * CHUNK_BYTES, 5)]


@pytest.mark.parametrize(
    "value",
    [
        plain(path="../a.json"),
        plain(path="/a.json"),
        plain(path="a.py"),
        plain(path="a\\b.json"),
        plain(path="a.json\x00"),
        plain(size=-1),
        plain(size=2**60, chunks=b""),
        plain(size=2**63),
        plain(size=2**37, chunks=b""),
        plain(size=CHUNK_BYTES + 1),
        plain(chunks=b""),
        plain(chunks=bytes(64)),
        plain(chunks=bytes(31)),
        plain(sha256=bytes(31)),
        plain(sha256="x"),
        plain(mode=0o755),
        plain() | {"name": "../x"},
        plain() | {"name": ""},
        plain() | {"chunk_bytes": 1},
        plain() | {"files": []},
        plain() | {"more": 1},
        {"name": "thyme"},
        [],
        None,
    ],
)
def test_a_manifest_that_breaks_a_rule_is_refused(value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_manifest(raw(value))


def test_the_value_that_the_broken_ones_differ_from_is_taken() -> None:
    assert decode_manifest(raw(plain())).files[0].path == "a.json"


def test_a_manifest_of_a_million_files_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        decode_manifest(raw({"name": "x", "chunk_bytes": CHUNK_BYTES, "files": [0] * 1_000_000}))
    with pytest.raises(RemoteProtocolError):
        decode_manifest(b"\x83\xa4name\xa1x\xabchunk_bytes\xce\x00\x10\x00\x00\xa5files\xdd\xff\xff\xff\xff")


def test_the_most_files_are_taken_and_one_more_is_not() -> None:
    most = manifest(*(f"{number:06}.json" for number in range(MAX_FILES)))
    assert decode_manifest(encode_manifest(most)) == most
    assert "files" in str(manifest_fault(manifest(*(f"{number:06}.json" for number in range(MAX_FILES + 1)))))


def test_many_files_may_not_sum_up_to_more_than_one() -> None:
    half = MAX_TOTAL_BYTES // 2
    assert manifest_fault(Manifest(name="x", files=(entry("a.txt", half), entry("b.txt", half)))) is None
    assert "bytes" in str(manifest_fault(Manifest(name="x", files=(entry("a.txt", half), entry("b.txt", half + 1)))))


def test_the_largest_manifest_fits() -> None:
    files = tuple(
        entry(f"{number:06}" + "x" * 240 + ".json", MAX_TOTAL_BYTES // MAX_FILES) for number in range(MAX_FILES)
    )
    assert len(encode_manifest(Manifest(name="x" * 96, files=files))) <= MAX_MANIFEST_BYTES


def test_too_many_bytes_are_refused_before_decoding() -> None:
    with pytest.raises(RemoteProtocolError, match="allowed"):
        decode_manifest(bytes(MAX_MANIFEST_BYTES + 1))


@pytest.mark.parametrize(
    ("paths", "fault"),
    [
        (("b.json", "a.json"), "not sorted"),
        (("a.json", "a.json"), "same"),
        (("A.json", "a.json"), "same"),
        (("a.json", "a.json/b.json"), "both"),
        (("A.json/b.json", "a.json"), "both"),
    ],
)
def test_paths_that_do_not_stand_side_by_side_are_refused(paths: tuple[str, ...], fault: str) -> None:
    assert fault in str(manifest_fault(manifest(*paths)))


def test_another_encoding_of_the_same_content_is_refused() -> None:
    encoded = encode_manifest(manifest("a.json"))
    turned = raw(dict(reversed(msgspec.msgpack.decode(encoded).items())))
    assert decode_manifest(encoded) == msgspec.msgpack.decode(turned, type=Manifest)
    with pytest.raises(RemoteProtocolError, match="canonical"):
        decode_manifest(turned)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_manifest(data)


@given(st.data())
def test_one_byte_changed_is_refused_or_another_manifest(data: st.DataObject) -> None:
    whole = bytearray(encode_manifest(replace(manifest("a.json", "b.txt"), name="x")))
    at = data.draw(st.integers(0, len(whole) - 1))
    before = address(bytes(whole))
    whole[at] ^= data.draw(st.integers(1, 255))
    try:
        changed = decode_manifest(bytes(whole))
    except RemoteProtocolError:
        return
    assert address(encode_manifest(changed)) != before
