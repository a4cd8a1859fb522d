"""What the quality bench wrote, read strictly."""

import json
from pathlib import Path

import pytest

from waggle.core.errors import UsageError
from waggle.dashboard.quality.page import command_for
from waggle.dashboard.quality.report import MOST_BYTES, read_quality

SWARM = {"strategy": "committee", "right": 0.5, "low": 0.4, "high": 0.6, "tokens": 100.0, "seconds": 0.2, "ece": 0.01}


def write(path: Path, *rows: dict[str, object], suite: str = "quality") -> Path:
    path.write_text(json.dumps({"suite": suite, "version": "1", "seed": 1, "rows": rows, "goals": [], "machine": {}}))
    return path


def test_figures_are_per_right_answer(tmp_path: Path) -> None:
    quality = read_quality(write(tmp_path / "q.json", SWARM))
    (swarm,) = quality.strategies
    assert (swarm.tokens_per_right, swarm.seconds_per_right, swarm.error) == (200.0, 0.4, 0.01)


def test_strategies_have_their_order_and_the_curve_rises(tmp_path: Path) -> None:
    curve = [{"curve": "committee", "mean_confidence": x, "right": x, "questions": 3} for x in (0.9, 0.1)]
    other = {"curve": "vote", "mean_confidence": 0.5, "right": 0.5, "questions": 3}
    rows = [{"strategy": "vote", "right": 0.3}, SWARM, {"strategy": "a tree", "right": 0.9}, *curve, other]
    quality = read_quality(write(tmp_path / "q.json", *rows))
    assert [each.name for each in quality.strategies] == ["committee", "vote"]
    assert [point.confidence for point in quality.curve] == [0.1, 0.9]


@pytest.mark.parametrize("right", [1.5, -0.1, None, "all", True])
def test_a_share_that_is_none_is_left_out(tmp_path: Path, right: object) -> None:
    with pytest.raises(UsageError, match="no row"):
        read_quality(write(tmp_path / "q.json", {"strategy": "committee", "right": right}))


def test_a_strategy_that_is_never_right_costs_no_number(tmp_path: Path) -> None:
    quality = read_quality(write(tmp_path / "q.json", SWARM | {"right": 0.0}))
    assert quality.strategies[0].tokens_per_right is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"suite": 1}', '{"suite": "quality", "rows": [[]]}', "null", "NaN"])
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "q.json"
    path.write_text(text)
    with pytest.raises(UsageError):
        read_quality(path)


def test_another_suite_and_an_oversize_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="another suite"):
        read_quality(write(tmp_path / "q.json", SWARM, suite="engine"))
    (tmp_path / "big.json").write_text(" " * (MOST_BYTES + 1))
    with pytest.raises(UsageError, match="too large"):
        read_quality(tmp_path / "big.json")


def test_the_command_writes_the_file_that_is_read() -> None:
    assert command_for(Path.home() / "w" / "quality.json") == "waggle bench quality --json > ~/w/quality.json"
    assert command_for(Path("/data/q.json")) == "waggle bench quality --json > /data/q.json"
    assert command_for(None) == "waggle bench quality --json"
