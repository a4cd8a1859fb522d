"""One who floods the history: what it keeps, whose rounds go, and how large the file grows."""

import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.unit.node.history.test_history import PATIENCE_SECONDS, a_round, numbers
from waggle.core.round_values import Record
from waggle.node.history.history import History
from waggle.node.history.store import HistoryStore, RoundSummary


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


def keys_of(history: History) -> dict[str, int]:
    """How many rounds each key holds."""
    rows = history.search(limit=1_000)
    return {key: sum(row.key == key for row in rows) for key in {row.key for row in rows}}


def add(history: History, record: Record, key: str, at: float = 0.0) -> None:
    history.add(record, at=at, source="api", key=key)


def test_a_key_that_floods_pushes_out_its_own_rounds_only(path: Path) -> None:
    history = History(path, most_rounds=50)
    for number in range(10):
        add(history, a_round(number), "ann")
    for number in range(100, 500):
        history.add(a_round(number), at=1.0, source="api", key="eve")
        assert number % 100 or history.flush(PATIENCE_SECONDS)
    assert history.flush(PATIENCE_SECONDS)
    assert keys_of(history) == {"ann": 10, "eve": 40}
    assert sorted(numbers(history, limit=1_000)) == [*range(10), *range(460, 500)]


def test_every_key_is_left_its_share_when_all_flood(path: Path) -> None:
    history = History(path, most_rounds=60)
    for number in range(600):
        history.add(a_round(number), at=1.0, source="api", key=("ann", "bob", "eve")[number % 7 % 3])
        assert number % 100 or history.flush(PATIENCE_SECONDS)
    assert history.flush(PATIENCE_SECONDS)
    assert all(19 <= held <= 21 for held in keys_of(history).values())


def test_few_large_rounds_push_out_themselves_and_not_many_small_ones(path: Path) -> None:
    most = 600_000
    history = History(path, most_bytes=most)
    for number in range(20):
        add(history, a_round(number), "ann")
    for number in range(100, 130):
        add(history, a_round(number, "large words " * 8_000), "eve")
    assert history.flush(PATIENCE_SECONDS)
    held = keys_of(history)
    assert held["ann"] == 20
    assert 1 <= held["eve"] < 10
    history.close()
    assert sum(file.stat().st_size for file in path.parent.iterdir()) < 2 * most


def test_no_date_makes_a_round_stay_longer_or_go_sooner(path: Path) -> None:
    history = History(path, most_rounds=5)
    for number, at in enumerate((1e18, -1e18, 1e308, 0.0, 2.0, 3.0, 4.0)):
        add(history, a_round(number), "ann", at)
    assert history.flush(PATIENCE_SECONDS)
    assert sorted(numbers(history)) == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("at", [float("nan"), float("inf"), -float("inf")])
def test_a_date_that_is_none_stops_nothing(path: Path, at: float) -> None:
    history = History(path, most_rounds=5)
    for number in range(3):
        add(history, a_round(number), "ann", float(number))
    add(history, a_round(9), "eve", at)
    add(history, a_round(10), "ann", 4.0)
    assert history.flush(PATIENCE_SECONDS)
    assert {0, 1, 2, 10} <= set(numbers(history))


def test_a_key_without_a_right_to_a_name_cannot_overwrite_or_hide_the_round_under_it(path: Path) -> None:
    history = History(path, most_rounds=50)
    add(history, a_round(1, "the first"), "ann", 1.0)
    for forged in (a_round(1, "forged"), replace(a_round(1), events=())):
        add(history, forged, "eve", 2.0)
    assert history.flush(PATIENCE_SECONDS)
    (row,) = history.search()
    assert (row.key, row.question, row.at) == ("ann", "the first", 1.0)
    assert history.get(row.round_id) == a_round(1, "the first")


def test_a_name_of_a_key_is_bounded_and_no_syntax(path: Path) -> None:
    history = History(path, most_rounds=3)
    for number in range(9):
        add(history, a_round(number), "x'; DROP TABLE rounds; --" + "y" * 10_000, float(number))
    assert history.flush(PATIENCE_SECONDS)
    assert sorted(numbers(history)) == [6, 7, 8]
    assert all(len(row.key) == 128 for row in history.search())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_fifty_thousand_rounds_leave_a_file_of_its_bound(path: Path) -> None:
    most = 4 * 2**20
    store = HistoryStore(path, 10_000, most)
    body, began, worst = b"x" * 300, time.perf_counter(), 0.0
    for number in range(50_000):
        at = time.perf_counter()
        store.add(summary(number, "ann" if number % 1_000 == 0 else "eve"), body)
        worst = max(worst, time.perf_counter() - at)
    seconds = time.perf_counter() - began
    assert sum(file.stat().st_size for file in path.parent.iterdir()) < 3 * most
    assert store.count() <= 10_000
    kept = store._open().execute("SELECT count(*) FROM rounds WHERE key = 'ann'").fetchone()[0]
    assert kept == 50
    print(f"{seconds / 50_000 * 1e6:.0f} us a round, the slowest {worst * 1e3:.0f} ms")
    assert seconds < 100
    store.close()


def summary(number: int, key: str) -> RoundSummary:
    return RoundSummary(
        round_id=f"{number:032x}",
        request=f"{number:032x}",
        at=float(number),
        question="What is 6 * 7?",
        answer="42",
        strategy="committee",
        confidence=0.9,
        abstained=False,
        tokens=10,
        seconds=0.1,
        source="api",
        key=key,
    )
