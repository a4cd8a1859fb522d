"""A recorded round is followed again, and one that does not add up is refused."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.unit.cli.ran import Waggle
from tests.unit.cli.rounds import agreed_round, assert_inert, crashing, hostile_engines, play
from waggle.core.ids import NodeId
from waggle.core.round_values import Record
from waggle.node.history.records import save_record


def written(folder: Path, record: Record) -> str:
    """Where it lies."""
    save_record(record, folder / "round.json")
    return str(folder / "round.json")


def test_a_record_is_printed_as_the_round_was(waggle: Waggle, tmp_path: Path) -> None:
    file = written(tmp_path, agreed_round())
    plain, explained, printed = (
        waggle("replay", file),
        waggle("replay", file, "--explain"),
        waggle("replay", file, "--json"),
    )
    assert [ran.status for ran in (plain, explained, printed)] == [0, 0, 0]
    assert plain.out.startswith("42\nconfidence ")
    assert explained.out.startswith("proposals\n")
    assert explained.out.endswith(plain.out)
    assert json.loads(printed.out)["answer"] == "42"


def test_a_round_without_an_answer_says_why(waggle: Waggle, tmp_path: Path) -> None:
    file = written(tmp_path, play({NodeId("mal"): crashing()}))
    assert waggle("replay", file).out.startswith("no answer: mal: ")
    assert json.loads(waggle("replay", file, "--json").out)["answer"] is None


def test_a_hostile_record_is_shown_inert(waggle: Waggle, tmp_path: Path) -> None:
    ran = waggle("replay", written(tmp_path, play(hostile_engines())), "--explain")
    assert ran.status == 0
    assert_inert(ran.out)


@pytest.mark.parametrize("changes", [{"answer": "41"}, {"confidence": 1.0}, {"abstained": True}])
def test_an_outcome_that_does_not_follow_is_refused(waggle: Waggle, tmp_path: Path, changes: dict[str, object]) -> None:
    record = agreed_round()
    ran = waggle("replay", written(tmp_path, replace(record, outcome=replace(record.outcome, **changes))))
    assert (ran.status, ran.out) == (1, "")
    assert ran.complaint() == "the recorded outcome does not follow from the recorded events"


def test_what_is_no_record_is_wrong_usage(waggle: Waggle, tmp_path: Path) -> None:
    (tmp_path / "round.json").write_text("{}")
    for name in ("none.json", "round.json"):
        ran = waggle("replay", str(tmp_path / name))
        assert (ran.status, ran.out) == (2, "")
        assert name in ran.complaint()
