"""The engine suite measures every side, compares every text, and judges each goal by its own rows."""

from pathlib import Path

import pytest

from tests.unit.models.tiny import tiny_folder
from waggle.bench.engine import AT_ONCE, IN_TURN, ONE_STREAM, OURS, PADDED, UNGUESSED, run_engine_bench
from waggle.bench.report import number
from waggle.core.errors import UsageError


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_the_suite_runs_on_any_model_folder(tmp_path: Path) -> None:
    result = run_engine_bench(tiny_folder(tmp_path), repeats=1)
    rows = result["rows"]
    sides = {(row["workload"], row["side"]) for row in rows}
    assert sides == {(ONE_STREAM, side) for side in (OURS, UNGUESSED, IN_TURN)} | {
        (AT_ONCE, side) for side in (OURS, IN_TURN, PADDED)
    }
    assert all(number(row["tokens_per_second"]) > 0 for row in rows)
    assert all(row["texts_as_ours"] == 1 for row in rows)
    assert len(result["goals"]) == 4
    assert result["machine"]["parameters"]


def test_a_suite_without_a_repeat_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="repeats"):
        run_engine_bench(tmp_path, repeats=0)
