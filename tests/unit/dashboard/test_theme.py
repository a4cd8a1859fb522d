"""What pages are made of beside code is installed with it."""

import tomllib
from fnmatch import fnmatch
from pathlib import Path

import waggle.dashboard.theme as theme
from waggle.dashboard.quality_page import OF_THE_HIVE
from waggle.dashboard.quality_report import read_quality

FOLDER = Path(theme.__file__).parent
PROJECT = Path(__file__).parents[3] / "pyproject.toml"


def test_every_file_of_the_pages_is_part_of_the_package() -> None:
    patterns = tomllib.loads(PROJECT.read_text())["tool"]["setuptools"]["package-data"]["waggle"]
    files = [f"dashboard/{path.name}" for path in FOLDER.iterdir() if path.is_file() and path.suffix != ".py"]
    assert "dashboard/measured.json" in files
    assert [name for name in files if not any(fnmatch(name, pattern) for pattern in patterns)] == []


def test_the_figures_that_come_along_are_those_of_the_whole_bench() -> None:
    quality = read_quality(OF_THE_HIVE)
    assert [each.questions for each in quality.strategies] == [900] * 6
    assert sum(point.questions for point in quality.curve) == 900
