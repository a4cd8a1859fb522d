"""API keys: what is kept of them, what is no key, and what several processes see of each other's."""

import multiprocessing
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from waggle.core.errors import UsageError
from waggle.gateway.keys import store as store_module
from waggle.gateway.keys.store import KeyInfo, KeyStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "keys.sqlite"


@pytest.fixture
def keys(path: Path) -> Iterator[KeyStore]:
    with closing(KeyStore(path, now=lambda: 1_000.0)) as store:
        yield store


def test_a_key_is_known_again_with_all_that_was_said_of_it(keys: KeyStore) -> None:
    text, info = keys.create("ann", ("admin", "ask"), requests_per_minute=5, tokens_per_minute=700)
    assert keys.check(text) == info
    assert info == KeyInfo(
        id=info.id,
        name="ann",
        prefix=text[:8],
        scopes=("ask", "admin"),
        requests_per_minute=5,
        tokens_per_minute=700,
        created=1_000.0,
        revoked=None,
    )


def test_a_key_holds_256_random_bits(keys: KeyStore) -> None:
    texts = {keys.create(f"key{number}")[0] for number in range(50)}
    assert len(texts) == 50
    assert {len(text) for text in texts} == {len("wk-") + 43}
    assert len({text[3:11] for text in texts}) == 50


def test_nothing_in_the_folder_holds_the_key(keys: KeyStore, path: Path) -> None:
    text, _ = keys.create("ann")
    kept = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert text[:8].encode() in kept
    assert text[:12].encode() not in kept
    assert text[11:].encode() not in kept


def test_every_file_of_the_store_is_its_owners_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        with closing(KeyStore(path)) as keys:
            keys.create("ann")
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3  # the database, and two files beside it while it is in use
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def odd_texts(text: str) -> list[str]:
    body = text.removeprefix("wk-")
    return [
        "", " ", text[:8], text[:-1], text + "A", text + "\n", text + " ", " " + text, text.upper(), text.lower(),
        text.swapcase(), body, "wk_" + body, "WK-" + body, "Bearer " + text, text + "\0", text[:-1] + "\0", "\0" * 46,
        "wk-" + "é" * 43, "wk-" + "Ａ" * 43, "wk-" + "\ud800" * 43, "wk-" + "=" * 43, text * 100_000, "wk-%",
        "' OR 1=1 --", "wk-' OR '1'='1' -- aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "wk-" + "_" * 43, "None", "null", "*",
    ]  # fmt: skip


def test_an_odd_text_is_no_key_and_no_error(keys: KeyStore) -> None:
    text, info = keys.create("ann")
    assert [odd for odd in odd_texts(text) if odd != text and keys.check(odd) is not None] == []
    assert keys.check(text) == info


@pytest.fixture(scope="module")
def one_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyStore]:
    with closing(KeyStore(tmp_path_factory.mktemp("keys") / "keys.sqlite")) as store:
        store.create("ann")
        yield store


@given(text=st.text(max_size=64) | st.from_regex(r"wk-[A-Za-z0-9_-]{43}", fullmatch=True))
def test_no_text_that_was_not_given_out_is_a_key(one_key: KeyStore, text: str) -> None:
    assert one_key.check(text) is None


def test_a_key_is_revoked_by_name_or_id_at_once_and_for_ever(keys: KeyStore) -> None:
    first, ann = keys.create("ann")
    second, bob = keys.create("bob")
    assert keys.revoke("ann") == structs.replace(ann, revoked=1_000.0)
    assert keys.check(first) is None
    assert keys.get(ann.id) is None
    assert keys.check(second) == keys.get(bob.id) == bob
    keys.revoke(bob.id)
    assert keys.check(second) is None
    assert not keys.has_live()
    assert [info.name for info in keys.list()] == ["ann", "bob"]


@pytest.mark.parametrize("which", ["", "nobody", "' OR 1=1 --", "%", "\ud800", "a\0", "x" * 10_000])
def test_nothing_is_revoked_by_a_name_that_no_key_has(keys: KeyStore, which: str) -> None:
    text, info = keys.create("ann")
    with pytest.raises(UsageError, match="no live key"):
        keys.revoke(which)
    assert keys.check(text) == info


def test_a_name_can_be_given_again_only_after_its_key_has_ended(keys: KeyStore) -> None:
    old, _ = keys.create("ann")
    with pytest.raises(UsageError, match="there already"):
        keys.create("ann")
    keys.revoke("ann")
    new, info = keys.create("ann")
    assert keys.check(new) == info
    assert keys.check(old) is None


@pytest.mark.parametrize("name", ["", " ", "a b", "a\nb", "../x", "-x", "é", "a" * 64, "a\0", "\x1b[31m"])
def test_a_name_that_could_not_be_shown_is_refused(keys: KeyStore, name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        keys.create(name)
    assert keys.list() == ()


@pytest.mark.parametrize(
    ("scopes", "requests", "tokens"),
    [((), None, None), (("root",), None, None), (("ask", "x"), None, None), (("ask",), 0, None), (("ask",), None, -1)],
)
def test_a_scope_or_limit_that_makes_no_sense_is_refused(
    keys: KeyStore, scopes: tuple[str, ...], requests: int | None, tokens: int | None
) -> None:
    with pytest.raises(UsageError):
        keys.create("ann", scopes, requests, tokens)
    assert keys.list() == ()


def make_keys(path: Path, name: str, count: int) -> None:
    with closing(KeyStore(path)) as keys:
        for number in range(count):
            keys.create(f"{name}{number}")


@pytest.mark.timeout(180)
def test_processes_that_write_at_once_lose_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "BUSY_SECONDS", 60.0)  # a slow disk is not what is tested
    spawn = multiprocessing.get_context("fork")
    writers = [spawn.Process(target=make_keys, args=(path, name, 15)) for name in "abc"]
    for writer in writers:
        writer.start()
    with closing(KeyStore(path)) as keys:
        for writer in writers:
            writer.join(120)
        assert [writer.exitcode for writer in writers] == [0, 0, 0]
        assert len({info.name for info in keys.list()}) == 45


def make_store(path: Path) -> None:
    KeyStore(path).close()


def test_a_file_that_is_just_being_made_is_never_taken_for_an_empty_one(tmp_path: Path) -> None:
    for number in range(20):
        path = tmp_path / f"{number}.sqlite"
        maker = multiprocessing.get_context("fork").Process(target=make_store, args=(path,))
        maker.start()
        while not path.exists():
            assert maker.is_alive() or path.exists()
        KeyStore(path).close()
        maker.join(60)
        assert maker.exitcode == 0
    assert {file.name for file in tmp_path.iterdir()} == {f"{number}.sqlite" for number in range(20)}


def test_a_file_whose_keys_are_gone_says_what_to_do(path: Path) -> None:
    path.parent.mkdir()
    path.touch(0o600)
    with pytest.raises(UsageError, match=r"are gone: put a copy .* back, or move it away"):
        KeyStore(path)
    assert path.read_bytes() == b""


def test_a_key_that_another_one_revokes_holds_no_longer_here(keys: KeyStore, path: Path) -> None:
    text, info = keys.create("ann")
    assert keys.check(text) == info
    with closing(KeyStore(path)) as other:
        made, new = other.create("bob")
        other.revoke("ann")
    assert keys.check(text) is None
    assert keys.check(made) == new


def test_a_file_that_is_open_to_others_is_refused_with_the_remedy(path: Path) -> None:
    path.parent.mkdir()
    path.touch(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        KeyStore(path)


def test_a_link_a_folder_and_a_file_of_something_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_bytes(b"no database " * 100)
    (tmp_path / "text").chmod(0o600)
    for name in ("link", "folder", "text", "text/below"):
        with pytest.raises(UsageError):
            KeyStore(tmp_path / name)
    assert not (tmp_path / "target").exists()


def test_keys_that_cannot_be_looked_up_are_an_error_and_not_a_refusal(keys: KeyStore, path: Path) -> None:
    text, _ = keys.create("ann")
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("DROP TABLE keys")
    with pytest.raises(UsageError, match="cannot be used"):
        keys.check(text)
