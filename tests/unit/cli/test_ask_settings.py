"""`waggle ask` goes by waggle.toml, the environment and flags, the later one of these before the earlier."""

import os
from pathlib import Path

import pytest

from tests.unit.cli.ran import Waggle, address
from waggle.core.round_values import Plan
from waggle.node.history.records import load_record


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("WAGGLE_") and name != "WAGGLE_HOME"]:
        monkeypatch.delenv(name)


def plan_of(waggle: Waggle, *flags: str) -> Plan:
    """The plan of a question asked now."""
    ran = waggle("ask", "why?", "--max-tokens", "8", "--record", "round.json", "--json", *flags)
    assert ran.err == ""
    return load_record(Path("round.json")).plan


def test_the_file_the_environment_and_flags_are_heard_in_rising_order(
    waggle: Waggle, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("waggle.toml").write_text(
        f'engines = ["{folder}"]\nbudget_seconds = 11\nbudget_tokens = 9001\nmin_confidence = 0.91\n'
    )
    plan = plan_of(waggle)
    assert [standing.node for standing in plan.proposers] == ["random"]
    assert (plan.budget.seconds, plan.budget.tokens, plan.min_confidence) == (11.0, 9001, 0.91)
    monkeypatch.setenv("WAGGLE_BUDGET_SECONDS", "12")
    monkeypatch.setenv("WAGGLE_BUDGET_TOKENS", "9002")
    plan = plan_of(waggle)
    assert (plan.budget.seconds, plan.budget.tokens, plan.min_confidence) == (12.0, 9002, 0.91)
    plan = plan_of(waggle, "--budget-tokens", "0", "--min-confidence", "0.93")
    assert (plan.budget.seconds, plan.budget.tokens, plan.min_confidence) == (12.0, None, 0.93)


def test_a_mistake_in_the_file_is_told_before_anything_is_asked(waggle: Waggle) -> None:
    Path("waggle.toml").write_text("min_confidence = 2")
    assert waggle("ask", "why?").complaint(2) == "waggle.toml, line 1: min_confidence must be a number from 0.0 to 1.0"


def test_engines_of_the_file_do_not_stand_in_the_way_of_via(waggle: Waggle) -> None:
    Path("waggle.toml").write_text('engines = ["nowhere"]')
    assert "no invite" in waggle("ask", "why?", "--via", "nobody").complaint()
    clash = waggle("ask", "why?", "--via", address(), "--engine", "nowhere")
    assert (clash.status, clash.complaint()) == (
        2,
        "--via asks models elsewhere: leave out --engine and --key-variable",
    )
