"""`waggle key`: what is printed where, and what a gateway that runs makes of it."""

import json
import os
import stat
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.cli.ran import Waggle
from waggle.gateway.keys.store import KeyStore


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "keys.sqlite"


def test_a_key_is_printed_alone_so_that_a_script_can_take_it(waggle: Waggle, file: Path) -> None:
    ran = waggle("key", "create", "ann")
    text = ran.out.removesuffix("\n")
    assert ran.status == 0
    assert text.startswith("wk-")
    assert "not shown again" in ran.err
    assert text not in ran.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with closing(KeyStore(file)) as keys:
        info = keys.check(text)
    assert info is not None
    assert (info.name, info.scopes, info.requests_per_minute, info.tokens_per_minute) == ("ann", ("ask",), None, None)


def test_a_key_gets_the_scope_and_the_limits_that_were_asked_for(waggle: Waggle, file: Path) -> None:
    limits = ("--requests-per-minute", "5", "--tokens-per-minute", "700")
    text = waggle("key", "create", "ann", "--scope", "admin", *limits).out.strip()
    with closing(KeyStore(file)) as keys:
        info = keys.check(text)
    assert info is not None
    assert (info.scopes, info.requests_per_minute, info.tokens_per_minute) == (("ask", "admin"), 5, 700)


@pytest.mark.parametrize(
    "arguments",
    [
        ("create",),
        ("create", "../x"),
        ("create", "a b"),
        ("create", "ann", "--scope", "root"),
        ("create", "ann", "--requests-per-minute", "0"),
        ("create", "ann", "--tokens-per-minute", "many"),
        ("revoke", "nobody"),
        ("revoke", "\udc80"),
        ("burn",),
    ],
    ids=str,
)
def test_wrong_usage_is_one_line_and_changes_nothing(waggle: Waggle, file: Path, arguments: tuple[str, ...]) -> None:
    ran = waggle("key", *arguments)
    assert (ran.status, ran.out) == (2, "")
    assert ran.complaint()
    assert not file.exists() or not KeyStore(file).list()


@pytest.mark.parametrize("arguments", [("create", "bob"), ("list",), ("revoke", "ann")])
def test_an_emptied_file_of_keys_is_an_error_and_stays_as_it_is(
    waggle: Waggle, file: Path, arguments: tuple[str, ...]
) -> None:
    waggle("key", "create", "ann")
    os.truncate(file, 0)
    assert "are gone: put a copy" in waggle("key", *arguments).complaint(2)
    assert file.read_bytes() == b""


def test_looking_makes_no_file_of_keys(waggle: Waggle, file: Path) -> None:
    assert json.loads(waggle("key", "list", "--json").out) == {"keys": []}
    assert waggle("key", "revoke", "ann").complaint() == "there are no keys"
    assert not file.exists()


def test_the_list_shows_what_a_key_may_and_never_the_key(waggle: Waggle) -> None:
    assert "waggle key create" in waggle("key", "list").out
    text = waggle("key", "create", "ann", "--tokens-per-minute", "700").out.strip()
    waggle("key", "create", "bob", "--scope", "admin")
    waggle("key", "revoke", "bob")
    shown = waggle("key", "list").out
    assert all(word in shown for word in ("ann", "bob", "admin", "tokens", "700", text[:8], "live", "revoked"))
    assert text not in shown
    listed = json.loads(waggle("key", "list", "--json").out)["keys"]
    assert [(key["name"], key["revoked"] is None) for key in listed] == [("ann", True), ("bob", False)]
    assert text[9:] not in json.dumps(listed)


def test_a_key_is_revoked_by_its_id_or_its_name(waggle: Waggle, file: Path) -> None:
    first = waggle("key", "create", "ann").out.strip()
    second = waggle("key", "create", "bob").out.strip()
    with closing(KeyStore(file)) as running:  # as a gateway has it open
        info = running.check(first)
        assert info is not None
        assert waggle("key", "revoke", info.id).status == 0
        assert waggle("key", "revoke", "bob").out == f"revoked {running.list()[1].id} (bob)\n"
        assert running.check(first) is None
        assert running.check(second) is None
    assert waggle("key", "revoke", "bob").status == 2


def test_the_list_has_one_line_for_a_key_on_eighty_columns(waggle: Waggle) -> None:
    most = ("--requests-per-minute", "1000000000", "--tokens-per-minute", "1000000000")
    waggle("key", "create", "a-machine", "--scope", "admin", *most)
    waggle("key", "create", "ann", "--requests-per-minute", "60", "--tokens-per-minute", "100000")
    lines = waggle("key", "list").out.splitlines()
    assert max(map(len, lines)) <= 80
    [machine] = [line for line in lines if "a-machine" in line]
    [ann] = [line for line in lines if "ann" in line]
    assert machine.split()[3:6] == ["admin", "1000M", "1000M"]
    assert ann.split()[3:6] == ["ask", "60", "100,000"]
    assert ann.split()[-1] == "live"


def test_a_long_name_is_folded_and_nothing_else(waggle: Waggle) -> None:
    waggle("key", "create", "n" * 40)
    lines = waggle("key", "list").out.splitlines()
    [line] = [line for line in lines if "live" in line]
    assert line.split()[3:6] == ["ask", "-", "-"]
    assert sum(line.count("n" * 8) for line in lines) >= 1
    assert "".join(lines).count("n") >= 40


def test_an_unknown_scope_is_told_in_our_words(waggle: Waggle) -> None:
    told = waggle("key", "create", "ann", "--scope", "foo").complaint()
    assert "ask" in told
    assert "admin" in told
    assert "Value error" not in told


def test_the_limit_of_requests_says_what_is_counted(waggle: Waggle) -> None:
    assert "GET" in waggle("key", "create", "--help").out
