"""Past rounds in a file: found again, bounded, shared by processes, and never in the way when the file fails."""

import logging
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.virtual import in_virtual_time
from waggle.core.asking import AskOptions
from waggle.core.ids import NodeId, RoundId
from waggle.core.round_values import Record
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.history.history import MOST_WAITING, History
from waggle.node.history.store import HistoryStore
from waggle.node.rounds.swarm import Swarm
from waggle.testing.clock import VirtualClock

QUESTION = "What is 6 * 7?"
PATIENCE_SECONDS = 50.0


@cache
@in_virtual_time
async def played() -> Record:
    engines = {NodeId(f"n{i}"): ScriptedEngine(Script(seed=i), {QUESTION: "42"}) for i in range(3)}
    return await Swarm(engines, clock=VirtualClock()).ask(QUESTION, AskOptions())


def a_round(number: int, question: str = QUESTION, answer: str | None = "42", *, abstained: bool = False) -> Record:
    """A real round, under another number and with other words."""
    plan = replace(played().plan, round_id=RoundId(f"{number:032x}"), question=question)
    return replace(played(), plan=plan, outcome=replace(played().outcome, answer=answer, abstained=abstained))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "private" / "history.db"


def filled(path: Path, *rounds: Record, **options: int) -> History:
    history = History(path, **options)  # type: ignore[arg-type]
    for at, record in enumerate(rounds):
        history.add(record, at=float(at), source="api", key="ann")
    assert history.flush(PATIENCE_SECONDS)
    return history


def numbers(history: History, text: str = "", limit: int = 50, before: float | None = None) -> list[int]:
    return [int(found.round_id, 16) for found in history.search(text, limit, before)]


def test_a_round_is_found_and_opened_again(path: Path) -> None:
    history = filled(path, a_round(1))
    found = history.search("times") or history.search("What")
    assert len(found) == 1
    assert (found[0].question, found[0].answer, found[0].source, found[0].key) == (QUESTION, "42", "api", "ann")
    assert found[0].request == found[0].round_id
    assert found[0].tokens > 0
    assert history.get(found[0].round_id) == a_round(1)
    assert history.get("f" * 32) is None
    history.close()
    assert History(path).get(found[0].round_id) == a_round(1)


def test_only_its_owner_can_read_it(path: Path) -> None:
    filled(path, a_round(1))
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert set(modes) == {"history.db", "history.db-wal", "history.db-shm", "history.db.lock"}
    assert set(modes.values()) == {0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_file_that_all_could_read_is_closed_to_them(path: Path) -> None:
    path.parent.mkdir()
    path.touch(mode=0o644)
    filled(path, a_round(1)).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_latest_come_first_and_pages_follow_each_other(path: Path) -> None:
    history = filled(path, *(a_round(number) for number in range(7)))
    first = history.search(limit=3)
    assert [int(found.round_id, 16) for found in first] == [6, 5, 4]
    assert numbers(history, limit=3, before=first[-1].at) == [3, 2, 1]
    assert numbers(history, limit=0) == []
    assert numbers(history, limit=-1) == []


@pytest.mark.parametrize("words", [True, False])
def test_all_words_must_be_there_in_any_case_and_order(path: Path, words: bool) -> None:
    history = filled(path, a_round(1, "Where do bees dance?", "On the comb"), a_round(2, "Where do ants dance?", "no"))
    assert history.count() == 2
    history._reader.has_words = words
    assert numbers(history, "DANCE bees") == [1]
    assert numbers(history, "comb whe") == [1]
    assert numbers(history, "dan") == [2, 1]
    assert numbers(history, "bees ants") == []
    assert numbers(history, f"{2:032x}") == [2]


@pytest.mark.parametrize("words", [True, False])
@pytest.mark.parametrize(
    "text",
    [
        '"',
        "'",
        "%",
        "_",
        "??",
        "x OR plain",
        "NOT",
        "NEAR(",
        "question:x",
        "*",
        "\0",
        "\ud800",
        "-- x",
        "\\",
        "x" * 100_000,
    ],
)
def test_no_text_is_syntax(path: Path, text: str, words: bool) -> None:
    history = filled(path, a_round(1, "plain words"))
    assert history.count() == 1
    history._reader.has_words = words
    assert history.search(text) == ()
    assert history.fault is None


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(exclude_categories=()), max_size=80), words=st.booleans())
def test_any_text_can_be_searched_for(tmp_path_factory: pytest.TempPathFactory, text: str, words: bool) -> None:
    store = HistoryStore(tmp_path_factory.getbasetemp() / "any.db", 10, 10**6)
    store.count()
    store.has_words = words
    store.search(text, 5, None)
    assert store.body(text) is None
    store.close()


def test_a_round_under_a_known_name_does_not_replace_the_past(path: Path) -> None:
    history = filled(path, a_round(1), a_round(1, "forged", "forged"))
    assert history.get(f"{1:032x}") == a_round(1)
    assert history.count() == 1
    assert numbers(history, "forged") == []


def test_rounds_of_one_request_are_found_by_it(path: Path) -> None:
    history = History(path)
    for number in (1, 2):
        history.add(a_round(number), request="a" * 32, at=float(number))
    assert history.flush(PATIENCE_SECONDS)
    assert numbers(history, "a" * 32) == [2, 1]


def test_totals_begin_where_asked(path: Path) -> None:
    history = filled(path, a_round(1), a_round(2, abstained=True), a_round(3, abstained=True))
    totals = history.totals(1.0)
    assert (totals.rounds, totals.abstained) == (2, 2)
    spent = played().outcome.spent
    assert totals.tokens == 2 * (spent.proposing_tokens + spent.judging_tokens)
    assert history.totals(10.0).rounds == 0


def test_the_oldest_are_forgotten_past_the_most_rounds(path: Path) -> None:
    history = filled(path, *(a_round(number, f"word{number}") for number in range(12)), most_rounds=5)
    assert numbers(history) == [11, 10, 9, 8, 7]
    assert history.get(f"{1:032x}") is None
    assert numbers(history, "word1") == [11, 10]


def test_the_file_stays_within_its_bytes(path: Path) -> None:
    most = 400_000
    history = History(path, most_bytes=most)
    for number in range(300):
        history.add(a_round(number, f"{number} " + "long question " * 300))
        assert number % 50 or history.flush(PATIENCE_SECONDS)
    assert history.flush(PATIENCE_SECONDS)
    assert history.fault is None
    assert 5 < history.count() < 299
    assert numbers(history)[0] == 299
    history.close()
    assert sum(file.stat().st_size for file in path.parent.iterdir()) < 2 * most


def test_a_round_too_large_for_the_file_is_left_out(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    history = filled(path, a_round(1), most_bytes=100_000)
    history.add(a_round(2, "large " * 50_000))
    assert history.flush(PATIENCE_SECONDS)
    assert history.fault == "a round's record is too large"
    assert numbers(history) == [1]


def test_question_texts_need_not_be_kept(path: Path) -> None:
    history = History(path, questions=False)
    history.add(a_round(1, "my secret illness", "a remedy"))
    assert history.flush(PATIENCE_SECONDS)
    history.close()
    kept = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"secret" not in kept
    assert numbers(History(path), "remedy") == [1]


def test_adding_does_not_wait_for_the_file(path: Path) -> None:
    history = filled(path, a_round(0))
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("BEGIN IMMEDIATE")  # somebody else writes, and takes their time
        for number in range(1, 20):
            history.add(a_round(number))
        assert history.count() == 1
        other.rollback()
    assert history.flush(PATIENCE_SECONDS)
    assert history.count() == 20


def test_rounds_that_come_too_fast_are_left_out_and_told_of_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    history = History(path)
    held = threading.Event()
    history._put(lambda store: held.wait(PATIENCE_SECONDS))
    for number in range(2 * MOST_WAITING):
        history.add(a_round(number))
    held.set()
    assert sum("faster" in line for line in caplog.messages) == 1
    assert history.flush(PATIENCE_SECONDS)
    assert MOST_WAITING - 1 <= history.count() < 2 * MOST_WAITING
    assert history.fault is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"this is no database at all" * 100,
        lambda content: content[:5000],
        lambda content: content[:4096] + os.urandom(len(content) - 4096),
        lambda content: content[:100] + b"\xff" * 4000 + content[4100:],
    ],
)
def test_a_damaged_file_is_moved_aside(path: Path, damage: object, caplog: pytest.LogCaptureFixture) -> None:
    filled(path, *(a_round(number) for number in range(20))).close()
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    history = History(path)
    history.search("What")
    history.get(f"{3:032x}")
    history.add(a_round(99))
    assert history.flush(PATIENCE_SECONDS)
    assert numbers(history) == [99]
    assert history.get(f"{99:032x}") == a_round(99)
    assert (path.parent / "history.db.broken").is_file()
    assert any("damaged" in line for line in caplog.messages)
    assert not any(str(path.parent) in line for line in caplog.messages)


def test_a_file_that_two_use_is_moved_aside_once(path: Path) -> None:
    filled(path, *(a_round(number) for number in range(20))).close()
    path.write_bytes(b"no database" * 1000)
    one, two = History(path), History(path)
    one.add(a_round(1))
    assert one.flush(PATIENCE_SECONDS)
    two.add(a_round(2))
    assert two.flush(PATIENCE_SECONDS)
    assert numbers(one) == numbers(two) == [2, 1]


def test_of_two_that_find_the_damage_only_the_first_moves_the_file(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)
    one, two = HistoryStore(path, 10, 10**6), HistoryStore(path, 10, 10**6)
    for store in (one, two):
        with pytest.raises(sqlite3.DatabaseError):
            store.count()
    one.move_aside()
    assert one.count() == 0
    made = path.stat().st_ino
    two.move_aside()
    assert path.stat().st_ino == made
    assert (path.parent / "history.db.broken").read_bytes().startswith(b"no database")
    one.close()
    two.close()


def test_a_file_that_was_removed_under_us_is_made_anew(path: Path) -> None:
    history = filled(path, a_round(1))
    for file in path.parent.iterdir():
        file.unlink()
    history.add(a_round(2))
    assert history.flush(PATIENCE_SECONDS)
    assert numbers(history) == [2]


def test_a_newer_version_s_file_is_left_alone(path: Path) -> None:
    filled(path, a_round(1)).close()
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("PRAGMA user_version = 99")
    history = filled(path, a_round(2))
    assert history.fault is not None
    assert history.search() == ()
    history.close()
    assert not (path.parent / "history.db.broken").exists()


def test_a_place_that_cannot_be_written_costs_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    history = filled(tmp_path / "file" / "history.db", *(a_round(number) for number in range(5)))
    assert (history.search(), history.count(), history.totals().rounds) == ((), 0, 0)
    assert history.get("1" * 32) is None
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
    assert history.fault
    assert str(tmp_path) not in history.fault


def test_a_link_in_the_file_s_place_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to(tmp_path / "elsewhere")
    assert filled(path, a_round(1)).fault
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.timeout(240)
def test_a_full_disk_costs_the_rounds_of_that_time(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    history = filled(path, a_round(0))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        for number in range(1, 40):
            history.add(a_round(number, f"{number} " + "words " * 1_000))
            assert history.flush(PATIENCE_SECONDS)
        assert history.fault is not None
        assert f"{0:032x}" in {found.round_id for found in history.search()}
        kept = history.count()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert 0 < kept < 39
    assert sum("cannot be used" in line for line in caplog.messages) == 1
    history.add(a_round(99))
    assert history.flush(PATIENCE_SECONDS)
    assert history.fault is None
    assert (history.count(), numbers(history)[0]) == (kept + 1, 99)


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b"[" * 100_000])
def test_a_record_of_another_version_is_none_and_no_fault(path: Path, body: bytes) -> None:
    history = filled(path, a_round(1), a_round(2))
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE records SET body = ? WHERE number = 1", (body,))
    assert history.get(f"{1:032x}") is None
    assert history.get(f"{2:032x}") == a_round(2)
    assert history.fault is None


def test_nothing_is_written_once_it_is_closed(path: Path) -> None:
    history = filled(path, a_round(1))
    history.close()
    history.add(a_round(2))
    assert not history.flush(0.05)
    assert numbers(History(path)) == [1]


WRITER = """
import sys
from pathlib import Path
from waggle.node.history.history import History
from tests.unit.node.history.test_history import a_round
history = History(sys.argv[1])
start = int(sys.argv[2])
for number in range(start, start + int(sys.argv[3])):
    history.add(a_round(number, f"question {number}"))
    history.flush(60)
    print(number, flush=True)
"""


def writer(path: Path, start: int, rounds: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WRITER, str(path), str(start), str(rounds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_what_was_written_survives_a_kill(path: Path) -> None:
    for start in (1_000, 2_000, 3_000):
        process = writer(path, start, 10_000)
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(30)]
        process.send_signal(signal.SIGKILL)
        told += [int(line) for line in process.stdout.read().split()]
        process.wait(60)
        process.stdout.close()
        history = History(path)
        kept = numbers(history, limit=1_000)
        assert set(told) <= set(kept)
        assert all(history.get(f"{number:032x}") for number in kept)
        assert numbers(history, f"{told[-1]}") == [told[-1]]
        assert history.fault is None
        history.close()
    with closing(sqlite3.connect(path)) as other, other:
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_several_processes_write_at_once(path: Path) -> None:
    processes = [writer(path, 1_000 * n, 60) for n in (1, 2, 3)]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    history = History(path)
    assert history.count() == 180
    assert set(numbers(history, limit=500)) == {1_000 * n + k for n in (1, 2, 3) for k in range(60)}
