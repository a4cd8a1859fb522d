"""What is shared is what was hashed, and nothing outside the shared folders."""

import errno
import multiprocessing
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.mesh.files.swarm import MIB, make_model, same_files
from waggle.core.errors import UsageError
from waggle.mesh.files.manifest import decode_manifest
from waggle.mesh.files.store import MAX_ADVERTISED, FileStore, SharedFileChanged, shared
from waggle.mesh.files.wire import MAX_LISTED

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "store")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "thyme", size=1000)


def paths_of(store: FileStore, manifest: str) -> list[str]:
    _, encoded = store.manifest_range(manifest, 0, 1 << 20)
    return [file.path for file in decode_manifest(encoded).files]


def reads(store: FileStore, folder: Path) -> int:
    """Bytes that are read when the folder is shared."""
    steps: list[int] = []
    store.share(folder, step=steps.append)
    return sum(steps)


def test_a_shared_folder_is_listed_and_served(store: FileStore, model: Path) -> None:
    one = store.share(model)
    assert (one.name, store.shared()) == ("thyme", (one,))
    paths = paths_of(store, one.manifest)
    assert paths == ["LICENSE", "config.json", "empty.txt", "model.safetensors", "tokenizer/tokenizer.json"]
    assert one.size == sum((model / path).stat().st_size for path in paths)
    assert store.read(one.manifest, 3, 5, 100) == (model / "model.safetensors").read_bytes()[5:105]
    assert store.read(one.manifest, 4, 0, 1400) == (model / "tokenizer/tokenizer.json").read_bytes()


def test_the_same_files_have_the_same_address_on_every_machine(tmp_path: Path, model: Path) -> None:
    a, b = FileStore(tmp_path / "a"), FileStore(tmp_path / "b")
    other = make_model(tmp_path / "elsewhere" / "thyme", size=1000)
    assert a.share(model) == b.share(other)
    (other / "config.json").write_text("{ }")
    assert a.share(model) != b.share(other)


def test_what_is_shared_outlasts_the_process(tmp_path: Path, store: FileStore, model: Path) -> None:
    one = store.share(model)
    assert FileStore(tmp_path / "store").shared() == (one,)
    assert FileStore(tmp_path / "store").read(one.manifest, 0, 0, 5) == b"do as"


def test_everything_of_the_store_is_ours_alone(tmp_path: Path, store: FileStore, model: Path) -> None:
    (tmp_path / "store").chmod(0o755)
    FileStore(tmp_path / "store").share(model)
    for path in [tmp_path / "store", *(tmp_path / "store").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_an_unchanged_folder_is_not_read_again(store: FileStore, model: Path) -> None:
    assert reads(store, model) > 1000
    assert reads(store, model) == 0
    (model / "config.json").write_text("{}")
    assert reads(store, model) > 1000
    assert len(store.shared()) == 1


def test_a_file_more_is_another_model(store: FileStore, model: Path) -> None:
    before = store.share(model)
    (model / "more.json").write_text("{}")
    after = store.share(model)
    assert after.manifest != before.manifest
    assert store.shared() == (after,)


def test_unsharing_stops_serving_at_once_in_every_process(tmp_path: Path, store: FileStore, model: Path) -> None:
    one, other = store.share(model), FileStore(tmp_path / "store")
    assert store.read(one.manifest, 0, 0, 2) == b"do"
    assert other.unshare("thyme")
    assert store.shared() == ()
    with pytest.raises(UsageError, match="not shared"):
        store.read(one.manifest, 0, 0, 2)
    with pytest.raises(UsageError, match="not shared"):
        store.manifest_range(one.manifest, 0, 10)
    assert not other.unshare("thyme")
    assert same_files(model, model)


@pytest.mark.parametrize(
    "file", ["run.py", "pytorch_model.bin", "model.pt", "a.so", "odd.yaml", "x\\y.json", "a\nb.json"]
)
def test_a_folder_with_a_file_that_may_not_travel_is_refused_by_its_name(
    store: FileStore, model: Path, file: str
) -> None:
    (model / file).write_text("x")
    with pytest.raises(UsageError, match="thyme cannot be shared as it is"):
        store.share(model)
    assert store.shared() == ()
    one = store.share(model, leave_out=True)
    assert file not in paths_of(store, one.manifest)


def test_files_that_begin_with_a_dot_stay_at_home(store: FileStore, model: Path) -> None:
    (model / ".env").write_text("SECRET=1")
    (model / ".git").mkdir()
    (model / ".git" / "config.json").write_text("{}")
    assert len(paths_of(store, store.share(model).manifest)) == 5


def test_weights_that_are_none_are_refused_when_sharing(store: FileStore, model: Path) -> None:
    (model / "model.safetensors").write_bytes(b"\x80\x04\x95")
    with pytest.raises(UsageError, match="no safetensors file"):
        store.share(model)


@pytest.mark.parametrize("linked", ["file", "folder", "loop"])
def test_symbolic_links_are_refused_when_sharing(tmp_path: Path, store: FileStore, model: Path, linked: str) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "keys.json").write_text("secret")
    target = {"file": tmp_path / "private/keys.json", "folder": tmp_path / "private", "loop": model}[linked]
    (model / "extra.json").symlink_to(target)
    with pytest.raises(UsageError, match="symbolic link"):
        store.share(model)
    assert len(paths_of(store, store.share(model, leave_out=True).manifest)) == 5


def test_a_pipe_is_refused_without_waiting_for_it(store: FileStore, model: Path) -> None:
    os.mkfifo(model / "pipe.json")
    with pytest.raises(UsageError, match="no regular file"):
        store.share(model)


@pytest.mark.parametrize("name", ["missing", "thyme/config.json", "empty"])
def test_what_is_no_folder_of_files_is_refused(tmp_path: Path, store: FileStore, model: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError):
        store.share(tmp_path / name)


def test_a_bad_or_taken_name_is_refused(tmp_path: Path, store: FileStore, model: Path) -> None:
    with pytest.raises(UsageError, match="no name"):
        store.share(model, "../x")
    store.share(model)
    with pytest.raises(UsageError, match="another name"):
        store.share(make_model(tmp_path / "other", size=10), "thyme")
    assert store.share(tmp_path / "other", "thyme-2").name == "thyme-2"


Change = Callable[[Path, Path], None]
"""What happens to a shared file; the other file is one that must never be seen."""


def swap_for_a_link(file: Path, secret: Path) -> None:
    file.unlink()
    file.symlink_to(secret)


def swap_its_folder_for_a_link(file: Path, secret: Path) -> None:
    file.parent.rename(file.parent.with_name("gone"))
    file.parent.symlink_to(secret.parent)


def overwrite(file: Path, secret: Path) -> None:
    file.write_bytes(secret.read_bytes())


def overwrite_and_set_the_clock_back(file: Path, secret: Path) -> None:
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    overwrite(file, secret)
    os.utime(file, ns=times)


def replace_with_another(file: Path, secret: Path) -> None:
    secret.rename(file)


def shorten(file: Path, secret: Path) -> None:
    os.truncate(file, 10)


def remove(file: Path, secret: Path) -> None:
    file.unlink()


@pytest.mark.parametrize(
    "change",
    [
        swap_for_a_link, swap_its_folder_for_a_link, overwrite, overwrite_and_set_the_clock_back, replace_with_another,
        shorten, remove,
    ],
)  # fmt: skip
def test_a_changed_file_is_never_served(tmp_path: Path, store: FileStore, model: Path, change: Change) -> None:
    one = store.share(model)
    file = model / "tokenizer" / "tokenizer.json"
    secret = tmp_path / "private" / "tokenizer.json"
    secret.parent.mkdir()
    secret.write_text("?!" * 700)
    assert len(store.read(one.manifest, 4, 0, 1400)) == 1400
    change(file, secret)
    with pytest.raises(UsageError, match="changed"):
        store.read(one.manifest, 4, 0, 1400)
    with pytest.raises(UsageError, match="not shared"):
        store.read(one.manifest, 0, 0, 2)
    assert store.shared() == ()
    assert store.refresh() == ("thyme",)
    assert store.shared() == ()
    assert FileStore(tmp_path / "store").shared() == ()


def test_a_change_within_one_tick_of_the_clock_is_seen(tmp_path: Path, store: FileStore) -> None:
    for number in range(20):
        folder = tmp_path / f"m{number}"
        folder.mkdir()
        (folder / "config.json").write_text("[1]")
        one = store.share(folder)
        (folder / "config.json").write_text("[2]")
        with pytest.raises(UsageError, match="changed"):
            store.read(one.manifest, 0, 0, 3)


@pytest.mark.parametrize("again", [FileStore.share, lambda store, _: store.refresh()], ids=["shared", "refreshed"])
def test_a_touched_file_is_served_again_once_it_was_read(
    store: FileStore, model: Path, again: Callable[[FileStore, Path], object]
) -> None:
    one = store.share(model)
    os.utime(model / "config.json", ns=(1, 1))
    with pytest.raises(SharedFileChanged, match="changed") as caught:
        store.read(one.manifest, 1, 0, 2)
    assert caught.value.name == "thyme"
    assert store.shared() == ()
    assert again(store, model) in (one, ())
    assert store.shared() == (one,)
    assert store.read(one.manifest, 1, 0, 2) == b'{"'


def test_a_full_disk_is_told_in_words_and_the_same_again_helps(
    store: FileStore, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UsageError, match=f"cannot share {model}: the disk is full: make room, then do it again"):
            store.share(model)
    assert store.share(model).name == "thyme"


@pytest.mark.parametrize(
    ("file", "offset", "length"),
    [(5, 0, 1), (-1, 0, 1), (0, -1, 1), (0, 0, 0), (0, 0, 16), (0, 15, 1), (0, 2**60, 1), (2, 0, 1), (0, 0, 2**60)],
)
def test_a_range_outside_the_files_is_refused(
    store: FileStore, model: Path, file: int, offset: int, length: int
) -> None:
    one = store.share(model)
    with pytest.raises(UsageError, match="has no bytes"):
        store.read(one.manifest, file, offset, length)
    assert store.shared() == (one,)


@pytest.mark.parametrize("manifest", ["", "x", "0" * 64, "../../lock", "/etc/passwd"])
def test_an_unknown_manifest_is_refused(store: FileStore, model: Path, manifest: str) -> None:
    store.share(model)
    with pytest.raises(UsageError, match="not shared"):
        store.read(manifest, 0, 0, 1)


def test_what_is_shared_is_bounded(tmp_path: Path, store: FileStore) -> None:
    for number in range(MAX_LISTED + 1):
        folder = tmp_path / f"m{number:03}"
        folder.mkdir()
        (folder / "config.json").write_text(str(number))
        if number < MAX_LISTED:
            store.share(folder)
    with pytest.raises(UsageError, match="stop sharing one"):
        store.share(folder)
    assert len(store.shared()) == MAX_LISTED
    assert shared(store) == store.shared()[:MAX_ADVERTISED]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff" * 100, b"{" * 100_000, b'{"manifest": 1}'])
def test_a_damaged_record_counts_as_none(tmp_path: Path, store: FileStore, model: Path, damage: bytes) -> None:
    one = store.share(model)
    (tmp_path / "store" / "records" / f"{one.manifest}.json").write_bytes(damage)
    assert FileStore(tmp_path / "store").shared() == ()
    assert FileStore(tmp_path / "store").share(model) == one


def test_a_damaged_manifest_is_found_on_refresh(tmp_path: Path, store: FileStore, model: Path) -> None:
    one = store.share(model)
    os.utime(model / "config.json", ns=(1, 1))
    (tmp_path / "store" / "records" / f"{one.manifest}.manifest").write_bytes(b"x")
    assert store.refresh() == ("thyme",)


def test_a_root_that_cannot_be_made_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot keep model files"):
        FileStore(tmp_path / "file" / "store")


def test_leftovers_of_killed_processes_are_swept(tmp_path: Path, store: FileStore) -> None:
    leftover = tmp_path / "store" / "records" / "a.manifest.12345.new"
    landed = tmp_path / "store" / "partial" / "abc"
    begun = tmp_path / "store" / "partial" / "def" / "files"
    leftover.write_text("half")
    landed.mkdir()
    begun.mkdir(parents=True)
    FileStore(tmp_path / "store")
    assert not leftover.exists()
    assert not landed.exists()
    assert begun.exists()


def _share_many(root: Path, folders: list[Path]) -> None:
    store = FileStore(root)
    for folder in folders:
        store.share(folder)


def test_two_processes_share_at_once_and_lose_nothing(tmp_path: Path) -> None:
    folders = [make_model(tmp_path / f"m{number}", size=MIB // 16, seed=number) for number in range(12)]
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_share_many, args=(tmp_path / "store", folders[at::2])) for at in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    assert [one.name for one in FileStore(tmp_path / "store").shared()] == sorted(folder.name for folder in folders)
