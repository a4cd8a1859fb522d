"""Keys that are first made, replaced, taken away or made unreadable while a gateway runs."""

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.unit.gateway.door.inner import HOST, Hand, Inner, bearer, sign_in
from tests.unit.gateway.door.test_sockets import open_socket
from tests.unit.gateway.raw_http import Message, call
from waggle.core.errors import UsageError
from waggle.dashboard.node_page import KeyNames
from waggle.gateway.door.guard import Guard
from waggle.gateway.door.hosts import check_binding
from waggle.gateway.keys.live import LOOK_SECONDS, LiveKeys
from waggle.gateway.keys.store import KeyStore
from waggle.gateway.options import GatewayOptions

Spoil = Callable[[Path], None]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.sqlite"


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def keys(file: Path, clock: Hand) -> Iterator[LiveKeys]:
    with closing(LiveKeys(file, now=clock)) as live:
        yield live


@pytest.fixture
def guard(keys: LiveKeys) -> Guard:
    return Guard(Inner(), options=GatewayOptions(), keys=keys)


def make_key(file: Path, name: str = "ann", scope: str = "ask") -> str:
    """As `waggle key create` does it, in a store of its own."""
    with closing(KeyStore(file)) as store:
        return store.create(name, (scope,))[0]


def is_there(file: Path) -> bool:
    return file.exists()


def take_away(file: Path) -> None:
    file.rename(file.with_name("away"))


async def status(guard: Guard, *headers: tuple[str, str], target: str = "/v1/models") -> int:
    return (await call(guard, target=target, headers=[HOST, *headers])).status


async def nobody_gets_in(guard: Guard, text: str) -> None:
    assert await status(guard) == 401
    assert await status(guard, target="/") == 401
    assert await status(guard, bearer(text)) == 503
    assert (await sign_in(guard, text)).status == 503


async def test_the_first_key_closes_a_running_gateway(guard: Guard, clock: Hand, file: Path) -> None:
    assert await status(guard) == 200
    text = make_key(file)
    clock.at += LOOK_SECONDS
    assert await status(guard) == 401
    assert await status(guard, target="/") == 401
    assert await status(guard, target="/health/live") == 200
    assert await status(guard, bearer(text)) == 200
    assert await status(guard, bearer(text), target="/") == 403


async def test_pages_are_signed_in_to_from_the_first_key_on(guard: Guard, clock: Hand, file: Path) -> None:
    text = make_key(file, scope="admin")
    clock.at += LOOK_SECONDS
    assert (await sign_in(guard, "wk-wrong")).status == 401
    assert (await sign_in(guard, text)).header("set-cookie")


async def test_no_file_is_made_and_an_empty_one_asks_for_no_key(guard: Guard, clock: Hand, file: Path) -> None:
    assert await status(guard) == 200
    assert not is_there(file)
    KeyStore(file).close()
    clock.at += LOOK_SECONDS
    assert await status(guard) == 200
    make_key(file)
    clock.at += LOOK_SECONDS
    assert await status(guard) == 401


async def test_a_key_that_was_made_and_revoked_between_two_looks_still_closes(
    guard: Guard, clock: Hand, file: Path
) -> None:
    make_key(file)
    with closing(KeyStore(file)) as store:
        store.revoke("ann")
    clock.at += LOOK_SECONDS
    assert await status(guard) == 401


async def test_a_file_that_vanishes_lets_nobody_in(guard: Guard, clock: Hand, file: Path) -> None:
    text = make_key(file)
    clock.at += LOOK_SECONDS
    assert await status(guard, bearer(text)) == 200
    for path in file.parent.iterdir():
        path.unlink()
    for _ in range(3):
        clock.at += LOOK_SECONDS
        await nobody_gets_in(guard, text)
    assert not is_there(file)


async def test_a_folder_that_vanishes_lets_nobody_in(guard: Guard, clock: Hand, file: Path) -> None:
    text = make_key(file)
    clock.at += LOOK_SECONDS
    assert await status(guard) == 401
    shutil.rmtree(file.parent)
    clock.at += LOOK_SECONDS
    await nobody_gets_in(guard, text)


async def test_only_the_keys_of_a_file_put_in_its_place_hold(guard: Guard, clock: Hand, file: Path) -> None:
    old = make_key(file)
    clock.at += LOOK_SECONDS
    assert await status(guard, bearer(old)) == 200
    new = make_key(file.with_name("new.sqlite"))
    file.with_name("new.sqlite").rename(file)
    clock.at += LOOK_SECONDS
    assert await status(guard, bearer(old)) == 401
    assert await status(guard, bearer(new)) == 200


async def test_a_file_without_keys_in_its_place_opens_nothing(guard: Guard, clock: Hand, file: Path) -> None:
    make_key(file)
    clock.at += LOOK_SECONDS
    assert await status(guard) == 401
    KeyStore(file.with_name("new.sqlite")).close()
    file.with_name("new.sqlite").rename(file)
    clock.at += LOOK_SECONDS
    assert await status(guard) == 401


def write_garbage(file: Path) -> None:
    file.write_bytes(b"x" * 4096)
    file.chmod(0o600)


def empty(file: Path) -> None:
    make_key(file)
    os.truncate(file, 0)


def make_empty(file: Path) -> None:
    file.touch(0o600)


def drop_the_table(file: Path) -> None:
    make_key(file)
    with closing(sqlite3.connect(file)) as other, other:
        other.execute("DROP TABLE keys")


def put_another_database(file: Path) -> None:
    with closing(sqlite3.connect(file)) as other, other:
        other.execute("CREATE TABLE doors (open INTEGER)")
    file.chmod(0o600)


GONE = [empty, make_empty, drop_the_table, put_another_database]


def open_to_others(file: Path) -> None:
    make_key(file)
    file.chmod(0o644)


def link_elsewhere(file: Path) -> None:
    make_key(file.with_name("elsewhere"))
    file.symlink_to(file.with_name("elsewhere"))


@pytest.mark.parametrize("spoil", [write_garbage, open_to_others, link_elsewhere, Path.mkdir, *GONE])
async def test_a_file_that_cannot_be_used_lets_nobody_in_and_stays_closed_when_it_goes(
    guard: Guard, clock: Hand, file: Path, spoil: Spoil
) -> None:
    some_key = make_key(file.with_name("another"))
    assert await status(guard) == 200
    spoil(file)
    clock.at += LOOK_SECONDS
    await nobody_gets_in(guard, some_key)
    take_away(file)
    clock.at += LOOK_SECONDS
    await nobody_gets_in(guard, some_key)
    text = make_key(file)
    clock.at += LOOK_SECONDS
    assert await status(guard, bearer(text)) == 200


@pytest.mark.parametrize("spoil", [write_garbage, open_to_others, link_elsewhere, *GONE])
def test_a_gateway_does_not_start_with_a_file_that_cannot_be_used(file: Path, spoil: Spoil) -> None:
    spoil(file)
    with pytest.raises(UsageError):
        LiveKeys(file)


async def test_a_socket_from_before_the_first_key_ends_with_its_next_message(
    keys: LiveKeys, clock: Hand, file: Path
) -> None:
    inner = Inner()

    async def made_meanwhile(scope: Message, receive: Any, send: Any) -> None:  # noqa: ANN401
        make_key(file)
        clock.at += LOOK_SECONDS
        await inner(scope, receive, send)

    guard = Guard(made_meanwhile, options=GatewayOptions(), keys=keys)
    sent = await open_socket(guard, [HOST], {"type": "websocket.receive", "text": "said"})
    assert sent[0]["type"] == "websocket.accept"
    assert inner.told[1:] == [{"type": "websocket.disconnect", "code": 1008}]


def test_beyond_loopback_a_gateway_needs_a_live_key(file: Path) -> None:
    far = GatewayOptions(host="0.0.0.0")
    with closing(LiveKeys(file)) as keys, pytest.raises(UsageError):
        check_binding(far, keys)
    make_key(file)
    with closing(LiveKeys(file)) as keys:
        check_binding(far, keys)
        assert keys.needed()


def test_the_page_of_the_node_can_list_them(keys: LiveKeys, clock: Hand, file: Path) -> None:
    assert isinstance(keys, KeyNames)
    assert keys.list() == ()
    make_key(file)
    clock.at += LOOK_SECONDS
    assert keys.needed()
    assert [key.name for key in keys.list()] == ["ann"]


def test_the_file_is_looked_at_once_a_second_at_most(
    keys: LiveKeys, clock: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    lstat = os.lstat

    def counted(path: Path) -> os.stat_result:
        nonlocal looks
        looks += 1
        return lstat(path)

    monkeypatch.setattr(os, "lstat", counted)
    for _ in range(1000):
        clock.at += LOOK_SECONDS / 100
        keys.needed()
    assert looks == pytest.approx(10, abs=1)


def test_asking_whether_keys_are_needed_costs_about_a_microsecond(file: Path) -> None:
    keys = LiveKeys(file)
    best = min(timed(keys) for _ in range(5))
    assert best < 5e-6  # some 0.2 us of processor time


def timed(keys: LiveKeys, times: int = 2_000) -> float:
    began = time.thread_time()
    for _ in range(times):
        keys.needed()
    return (time.thread_time() - began) / times
