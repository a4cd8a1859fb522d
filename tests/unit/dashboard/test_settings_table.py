"""Only what somebody chose is listed as given, whoever hands the settings on."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from waggle.cli.gateway import values_of
from waggle.core.errors import UsageError
from waggle.dashboard.settings_table import by_origin, read_settings
from waggle.node.config.load import load_settings
from waggle.node.config.settings import Settings


def given(flags: Mapping[str, object], environment: dict[str, str] | None = None) -> list[str]:
    """What is listed of a node that was started so."""
    configuration = load_settings(flags, environment=environment or {}, folder=Path("/nowhere"))
    return list(by_origin(values_of(configuration))[0])


def test_flags_that_a_parent_passes_on_are_given_only_where_they_differ() -> None:
    every = {name: getattr(Settings(), name) for name in ("capacity", "queue", "log_level", "log_prompts", "home")}
    passed = {name: value if isinstance(value, bool) else str(value) for name, value in every.items()}
    assert given(passed) == []
    assert given(passed | {"capacity": "3", "name": "up-acacia"}) == ["name", "capacity"]


def test_what_the_environment_says_is_given_even_where_it_is_the_default() -> None:
    assert given({}, {"WAGGLE_CAPACITY": str(Settings().capacity)}) == ["capacity"]


def test_the_folder_that_a_parent_hands_on_is_given_only_where_it_is_another_one() -> None:
    assert given({}, {"WAGGLE_HOME": str(Path.home() / ".waggle")}) == []
    assert given({}, {"WAGGLE_HOME": "/elsewhere"}) == ["home"]


def test_settings_that_cannot_be_told_are_none() -> None:
    def fails() -> dict[str, object]:
        raise UsageError("the file is gone")

    assert read_settings(fails) == {}
    assert read_settings(None) == {}


@pytest.mark.parametrize("origin", ["waggle.toml", "/etc/waggle.toml"])
def test_what_a_file_says_is_given(origin: str) -> None:
    assert list(by_origin({"name": ("node", origin)})[0]) == ["name"]
