"""What pages are made of beside code is installed with it."""

import tomllib
from fnmatch import fnmatch
from pathlib import Path

import waggle.dashboard.frame.theme as theme
from waggle.dashboard.quality.page import OF_THE_HIVE
from waggle.dashboard.quality.report import read_quality

FOLDER = Path(theme.__file__).parents[1]
PROJECT = Path(__file__).parents[4] / "pyproject.toml"


def test_every_file_of_the_pages_is_part_of_the_package() -> None:
    patterns = tomllib.loads(PROJECT.read_text())["tool"]["setuptools"]["package-data"]["waggle"]
    inside = [path.relative_to(FOLDER.parent) for path in FOLDER.rglob("*.*") if path.suffix not in (".py", ".pyc")]
    files = [str(path) for path in inside]
    assert "dashboard/quality/measured.json" in files
    assert [name for name in files if not any(fnmatch(name, pattern) for pattern in patterns)] == []


def test_the_figures_that_come_along_are_those_of_the_whole_bench() -> None:
    quality = read_quality(OF_THE_HIVE)
    assert [each.questions for each in quality.strategies] == [900] * 7
    assert sum(point.questions for point in quality.curve) == 900
