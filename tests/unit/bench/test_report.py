"""The form of every bench's result: plain JSON values, goals that judge at their bound, tables that show misses."""

import json
import math

import pytest
from rich.console import Console

from waggle import __version__
from waggle.bench.report import Goal, Row, at_least, at_most, fitting, machine, number, print_report, report

ROWS: list[Row] = [
    {"name": "first", "ms": 0.12345, "count": 12},
    {"name": "second", "ms": 12345.6, "count": None},
    {"what": "other columns", "ok": True},
]


@pytest.mark.parametrize(("value", "met"), [(4.999, False), (5.0, True), (5.001, True), (math.nan, False)])
def test_a_lower_bound_is_met_from_the_bound_on(value: float, met: bool) -> None:
    assert at_least("speed", value, 5.0, " x")["met"] is met


@pytest.mark.parametrize(("value", "met"), [(4.999, True), (5.0, True), (5.001, False), (math.nan, False)])
def test_an_upper_bound_is_met_up_to_the_bound(value: float, met: bool) -> None:
    assert at_most("time", value, 5.0, " ms")["met"] is met


def test_a_goal_says_its_condition_in_words() -> None:
    assert at_least("speed", 7.0, 5.0, " x") == Goal(name="speed", value=7.0, goal=">= 5 x", met=True)
    assert at_most("error", 0.5, 0.05)["goal"] == "<= 0.05"


def test_a_report_holds_what_it_was_measured_on_and_survives_json() -> None:
    made = report("test", 3, ROWS, [at_least("speed", 7.0, 5.0)])
    assert (made["suite"], made["version"], made["seed"]) == ("test", __version__, 3)
    assert made["machine"]["cores"] == machine()["cores"]
    assert json.loads(json.dumps(made)) == made


@pytest.mark.parametrize(("width", "head"), [(80, ["name", "figure 0"]), (30, ["name", "second"])])
def test_a_table_too_wide_for_the_screen_is_turned_where_that_helps(width: int, head: list[str]) -> None:
    lines = [["name", *(f"figure {i}" for i in range(6))], ["second", *"123456"]]
    assert [column.header for column in fitting(Console(width=width), lines).columns][:2] == head


def test_a_table_that_would_be_even_wider_on_its_side_stays_as_it_is() -> None:
    lines = [["name", "figure"], *([f"row {i}", "1"] for i in range(20))]
    assert len(fitting(Console(width=10), lines).columns) == 2


def test_only_numbers_are_numbers() -> None:
    assert number(3) == 3.0
    for value in ("3", None):
        with pytest.raises(AssertionError):
            number(value)


def test_the_tables_show_every_row_and_say_plainly_which_goal_was_missed(capsys: pytest.CaptureFixture[str]) -> None:
    goals = [at_least("speed", 7.0, 5.0, " x"), at_most("error", 0.5, 0.05)]
    print_report(report("test", 3, ROWS, goals))
    shown = capsys.readouterr().out
    assert "waggle bench test, seed 3" in shown.replace("\n", "")
    for text in ("first", "0.123", "12", "second", "12,346", "other columns", "True"):
        assert text in shown
    met, missed = (line for line in shown.splitlines() if "goal" in line)
    assert met.startswith("met")
    assert "speed" in met
    assert missed.startswith("missed")
    assert "0.5 (goal <= 0.05)" in missed


def test_a_report_without_rows_or_goals_is_shown_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(report("empty", 0, [], []))
    assert "waggle bench empty" in capsys.readouterr().out
