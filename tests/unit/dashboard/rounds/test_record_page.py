"""Past rounds are found by their ids, in the order wanted; what is not there is left out."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from waggle.core.asking import AskOptions
from waggle.core.ids import NodeId
from waggle.core.round_values import Record
from waggle.dashboard.rounds.record_page import find_rounds
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.history.history import History
from waggle.node.rounds.swarm import Swarm


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    made = History(tmp_path / "history.sqlite3")
    yield made
    made.close()


async def asked(question: str) -> Record:
    return await Swarm({NodeId("a"): ScriptedEngine(Script(name="a"), {question: "42"})}).ask(question, AskOptions())


async def test_rounds_come_in_the_order_wanted_and_also_when_just_written(history: History) -> None:
    first, second = await asked("6 * 7?"), await asked("7 * 6?")
    for record in (first, second):
        history.add(record)  # only in line to be written yet
    names = [second.plan.round_id, first.plan.round_id]
    assert [record.plan.question for record in await find_rounds(history, names)] == ["7 * 6?", "6 * 7?"]


async def test_what_is_not_there_or_no_id_is_left_out(history: History) -> None:
    record = await asked("6 * 7?")
    history.add(record)
    names = ["0" * 32, "../history", "", record.plan.round_id, "%", "AB"]
    assert [each.plan.round_id for each in await find_rounds(history, names)] == [record.plan.round_id]
