"""An abstention is a word of somebody; a failure is that nobody was heard. Both are counted, and apart."""

import logging
from pathlib import Path

import pytest
from msgspec.structs import replace

from waggle.core.asking import AskOptions
from waggle.core.ids import NodeId
from waggle.core.round_values import Record
from waggle.engines.script import Conduct, Crasher, Honest, Mute, Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.history.history import History
from waggle.node.observing.ending import Ending, ending_of
from waggle.node.rounds.swarm import Swarm

QUESTION = "What is 6 * 7?"


async def played(*conducts: Conduct, least: float = 0.0) -> Record:
    engines = {
        NodeId(f"n{i}"): ScriptedEngine(Script(skill=1.0, conduct=conduct), {QUESTION: "42"})
        for i, conduct in enumerate(conducts)
    }
    return await Swarm(engines).ask(QUESTION, AskOptions(min_confidence=least))


def named(record: Record, number: int) -> Record:
    """The same round under a name of its own."""
    return replace(record, plan=replace(record.plan, round_id=f"{number:032x}"))


ENDS: list[tuple[tuple[Conduct, ...], float, Ending]] = [
    ((Honest(), Honest()), 0.0, Ending.ANSWERED),
    ((Honest(), Honest()), 1.0, Ending.ABSTAINED),
    ((Mute(), Mute()), 0.0, Ending.ABSTAINED),
    ((Mute(), Crasher()), 0.0, Ending.ABSTAINED),
    ((Crasher(), Crasher()), 0.0, Ending.FAILED),
]


@pytest.mark.parametrize(("conducts", "least", "ending"), ENDS)
async def test_who_was_heard_decides_how_a_round_ended_and_the_log_calls_no_failure_an_abstention(
    conducts: tuple[Conduct, ...], least: float, ending: Ending, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "waggle"):
        record = await played(*conducts, least=least)
    assert ending_of(record.outcome, record.events) is ending
    [facts] = [vars(line)["facts"] for line in caplog.records if line.message == "round ended"]
    assert (facts["ended"], facts["abstained"]) == (ending.value, ending is Ending.ABSTAINED)
    assert ("confidence" in facts) is (ending is not Ending.FAILED)


async def test_the_history_adds_them_up_apart(tmp_path: Path) -> None:
    history = History(tmp_path / "h.sqlite3")
    for number, (conducts, least, _) in enumerate(ENDS):
        history.add(named(await played(*conducts, least=least), number))
    assert history.flush()
    totals = history.totals()
    assert (totals.rounds, totals.abstained, totals.failed) == (5, 3, 1)
    assert history.totals(since=9e12).failed == 0
    rows = {row.round_id: row for row in history.search()}
    assert [rows[f"{number:032x}"].abstained for number in range(5)] == [False, True, True, True, False]
    assert rows[f"{4:032x}"].answer is None
    history.close()
