"""What people read of a bench: the machine in words, notes below the table, ratios and goals that cannot be misread."""

import io

import pytest
from rich.console import Console

from waggle.bench.mesh.suite import HIVEMIND, LATTICA, OURS, SUBJECTS, summarise, unmeasured
from waggle.bench.mesh.values import Figure
from waggle.bench.report import Report, at_most, fitting, head, machine_words, print_report, report

LATENCY, RATE = 1.1, 0.5


@pytest.fixture
def result() -> Report:
    """Of a run in which waggle has 1.1 times hivemind's latency and twice its rates, and Lattica is not installed."""
    times = {"unary": LATENCY, "stream": LATENCY, "calls": 1 / RATE, "bytes": 1 / RATE}
    figures = {
        (name, measure): [Figure(value=times[measure] if name == OURS else 1.0, p99_ms=2.0)] * 2
        for name in (OURS, HIVEMIND)
        for measure in SUBJECTS[name].measures
    }
    return summarise(figures, [OURS, HIVEMIND, LATTICA], 1)


def test_the_machine_is_told_in_words() -> None:
    found = {"system": "Linux", "processor": "x86_64", "cores": 2, "python": "3.11.7", "load": 1.2}
    assert machine_words(found) == "Linux, x86_64, 2 cores, Python 3.11.7, load 1.2"
    assert machine_words({**found, "load": None, "gpu": "none"}).endswith("Python 3.11.7, gpu none")


def test_the_title_holds_no_dictionary(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(report("test", 3, [], []))
    assert "{" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("column", "words"),
    [("unary_p50_ms", "unary ms p50"), ("calls_per_second", "calls/s"), ("mb_per_second", "MB/s"), ("low", "low")],
)
def test_a_column_is_headed_by_short_words(column: str, words: str) -> None:
    assert head(column) == words


def test_the_mesh_table_fits_eighty_columns_upright(result: Report) -> None:
    heads = [head(column) for column in result["rows"][0] if column != "note"]
    lines = [heads, ["hivemind, uvloop", *["12,345"] * (len(heads) - 1)]]
    assert [column.header for column in fitting(Console(width=80), lines).columns] == heads


def test_where_no_table_fits_every_figure_has_a_line_of_its_own() -> None:
    out = io.StringIO()
    console = Console(width=40, file=out)
    heads = ["name", *(f"figure {number}" for number in range(8))]
    console.print(fitting(console, [heads, *([f"subject {row}", *"12345678"] for row in range(8))]))
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert ["figure", "7", "8"] in lines
    assert lines.count(["figure", "7", "8"]) == 8


def test_a_note_stands_whole_below_the_table(result: Report, capsys: pytest.CaptureFixture[str]) -> None:
    print_report(result)
    assert "\nlattica: skipped: not installed: pip install --no-deps lattica==1.0.21\n" in capsys.readouterr().out


def test_a_ratio_says_of_what_and_that_it_is_one(result: Report, capsys: pytest.CaptureFixture[str]) -> None:
    print_report(result)
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("met")]
    assert told[0] == "met     unary latency: ours over bare hivemind's: 1.1 times (goal <= 1.3 times)"
    assert told[2] == "met     calls per second: bare hivemind's over ours: 0.5 times (goal <= 1.3 times)"


def test_a_goal_in_another_unit_is_no_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(report("test", 3, [], [at_most("time", 5.0, 6.0, " ms")]))
    assert "time: 5 (goal <= 6 ms)" in capsys.readouterr().out


def test_goals_beside_what_is_not_installed_are_listed(result: Report, capsys: pytest.CaptureFixture[str]) -> None:
    print_report(result, unmeasured(result))
    missing = [line for line in capsys.readouterr().out.splitlines() if "not measured" in line]
    install = SUBJECTS[LATTICA].install
    assert missing == [
        f"--      calls per second: ours over Lattica's: not measured: {install}",
        f"--      MB per second: ours over Lattica's: not measured: {install}",
    ]
    assert list(result) == ["suite", "version", "machine", "seed", "rows", "goals"]
    assert len(result["goals"]) == 4
