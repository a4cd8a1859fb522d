"""A half-fetched model keeps exactly the verified chunks, whatever happens to it."""

import errno
import os
import random
import stat
from pathlib import Path

import pytest

from tests.unit.mesh.files.swarm import MIB, make_model, same_files
from waggle.core.errors import RemoteProtocolError, UsageError
from waggle.mesh.files import disk
from waggle.mesh.files.manifest import FileEntry, Manifest, encode_manifest
from waggle.mesh.files.partial import Partial
from waggle.mesh.files.store import FileStore


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "thyme", size=4 * MIB)


@pytest.fixture
def encoded(tmp_path: Path, model: Path) -> bytes:
    store = FileStore(tmp_path / "server")
    return store.manifest_range(store.share(model).manifest, 0, MIB)[1]


def data_of(partial: Partial, model: Path, number: int) -> bytes:
    chunk = partial.chunks[number]
    path = partial.manifest.files[chunk.file].path
    return (model / path).read_bytes()[chunk.offset : chunk.offset + chunk.length]


def write(partial: Partial, model: Path, *numbers: int) -> None:
    for number in numbers:
        assert partial.write(number, data_of(partial, model, number))


def open_again(tmp_path: Path, encoded: bytes) -> Partial:
    return FileStore(tmp_path / "mine").open_partial(encoded)


def test_chunks_in_any_order_make_the_model(tmp_path: Path, model: Path, encoded: bytes) -> None:
    store = FileStore(tmp_path / "mine")
    with store.open_partial(encoded) as partial:
        order = partial.missing()
        assert partial.missing_bytes() == partial.manifest.size
        random.Random(0).shuffle(order)
        for number in order:
            assert not partial.verify()
            write(partial, model, number)
        assert partial.verify()
        partial.settle()
        record = store.land(partial, share=True)
    assert same_files(model, Path(record.folder))
    assert record.folder == str(tmp_path / "mine" / "models" / "thyme")
    assert list((tmp_path / "mine" / "partial").iterdir()) == []
    assert store.read(record.manifest, 0, 0, 2) == b"do"
    for path in (tmp_path / "mine").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_wrong_bytes_are_not_written(tmp_path: Path, model: Path, encoded: bytes) -> None:
    with open_again(tmp_path, encoded) as partial:
        right = data_of(partial, model, 2)
        for wrong in (b"", right[:-1], right + b"x", bytes([right[0] ^ 1]) + right[1:], data_of(partial, model, 3)):
            assert not partial.write(2, wrong)
        assert not partial.has(2)
        assert (partial.files / "model.safetensors").read_bytes() == bytes(partial.manifest.files[3].size)


def test_an_interrupted_fetch_goes_on_where_it_was(tmp_path: Path, model: Path, encoded: bytes) -> None:
    with open_again(tmp_path, encoded) as partial:
        write(partial, model, 0, 3, 5)
        total = len(partial.chunks)
    with open_again(tmp_path, encoded) as partial:
        partial.verify()
        assert partial.missing() == [number for number in range(total) if number not in (0, 3, 5)]


def test_only_what_the_journal_names_is_read_again(tmp_path: Path, model: Path, encoded: bytes) -> None:
    with open_again(tmp_path, encoded) as partial:
        write(partial, model, 3)
    with open_again(tmp_path, encoded) as partial:
        steps: list[int] = []
        partial.verify(steps.append)
        assert sum(steps) == MIB


@pytest.mark.parametrize("journal", [b"", b"\x00", b"\xff" * 100, b"\xff"])
def test_a_journal_that_lies_is_found_out(tmp_path: Path, model: Path, encoded: bytes, journal: bytes) -> None:
    with open_again(tmp_path, encoded) as partial:
        write(partial, model, 1, 2)
        (partial.folder / "have").write_bytes(journal)
    with open_again(tmp_path, encoded) as partial:
        partial.verify()
        kept = {number for number in range(len(partial.chunks)) if partial.has(number)}
        assert kept <= {1, 2}
        assert kept == ({1, 2} if journal[:1] == b"\xff" else set())


def test_damage_on_disk_is_found_and_only_it_is_missing(tmp_path: Path, model: Path, encoded: bytes) -> None:
    with open_again(tmp_path, encoded) as partial:
        write(partial, model, *partial.missing())
        with disk.opened(partial.files, "model.safetensors", os.O_RDWR) as file:
            disk.write_range(file, 2 * MIB + 5, b"rot")
        assert not partial.verify()
        assert [partial.chunks[number].offset for number in partial.missing()] == [2 * MIB]


@pytest.mark.parametrize("size", [0, 10, 10 * MIB])
def test_a_file_of_another_size_gets_its_own_size_back(tmp_path: Path, model: Path, encoded: bytes, size: int) -> None:
    with open_again(tmp_path, encoded) as partial:
        write(partial, model, *partial.missing())
        os.truncate(partial.files / "model.safetensors", size)
    with open_again(tmp_path, encoded) as partial:
        assert partial.verify() == (size == 10 * MIB)
        write(partial, model, *partial.missing())
        assert partial.verify()
        assert same_files(partial.files, model)


def test_a_link_in_place_of_a_file_is_not_written_through(tmp_path: Path, model: Path, encoded: bytes) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    with open_again(tmp_path, encoded) as partial:
        (partial.files / "config.json").unlink()
        (partial.files / "config.json").symlink_to(victim)
        with pytest.raises(OSError, match="symbolic"):
            write(partial, model, 1)
    assert victim.read_text() == "mine"


def test_one_fetch_at_a_time(tmp_path: Path, encoded: bytes) -> None:
    with open_again(tmp_path, encoded), pytest.raises(UsageError, match="being fetched already"):
        open_again(tmp_path, encoded)
    open_again(tmp_path, encoded).close()


def test_a_place_that_is_taken_is_left_alone_and_the_fetch_kept(tmp_path: Path, model: Path, encoded: bytes) -> None:
    store = FileStore(tmp_path / "mine")
    with store.open_partial(encoded) as partial:
        write(partial, model, *partial.missing())
        (store.models / "thyme").mkdir()
        with pytest.raises(UsageError, match="move or remove it"):
            store.land(partial, share=True)
    assert list((store.models / "thyme").iterdir()) == []
    with store.open_partial(encoded) as partial:
        assert partial.verify()


def test_a_manifest_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    entry, _ = disk.hash_file(make_model(tmp_path / "thyme", size=10), "config.json")
    lie = FileEntry(path=entry.path, size=entry.size, sha256=bytes(32), chunks=entry.chunks)
    with open_again(tmp_path, encode_manifest(Manifest(name="x", files=(lie,)))) as partial:
        assert partial.write(0, (tmp_path / "thyme" / "config.json").read_bytes())
        with pytest.raises(RemoteProtocolError, match="contradicts itself"):
            partial.verify()


def test_a_full_disk_leaves_the_chunk_missing(
    tmp_path: Path, model: Path, encoded: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_again(tmp_path, encoded) as partial:
        write(partial, model, 0)

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            with pytest.raises(OSError, match="No space"):
                write(partial, model, 1)
        assert not partial.has(1)
        write(partial, model, 1)
        assert partial.has(1)
