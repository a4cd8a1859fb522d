"""Hands settings to a process of ours: it sees these, and neither a `waggle.toml` nor settings in the environment.

Only what is not at its default is said, so that `waggle config` and the page of that process show what was decided.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from waggle.node.config.settings import Settings
from waggle.node.config.table import SETTINGS, Setting, Value

HOME = "home"
"""The one setting that goes by the environment, so that commands which the process starts see it, too."""


def arguments_of(settings: Settings) -> list[str]:
    """What follows the verb: an empty file in place of the usual one, and a flag for whatever is not at its default."""
    flags = [flag for name, setting in SETTINGS.items() for flag in _flags(setting, getattr(settings, name))]
    return ["--config", os.devnull, *flags]


def environment_of(home: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """This environment with no setting but the user's folder; API keys and the like stay."""
    ours = {setting.variable for setting in SETTINGS.values()} | {"WAGGLE_CONFIG"}
    return {name: value for name, value in environment.items() if name not in ours} | {
        SETTINGS[HOME].variable: str(home)
    }


def _flags(setting: Setting, value: Value) -> Iterator[str]:
    if value == setting.default or setting.name == HOME:
        return
    match value:
        case bool():
            yield setting.flag if value else f"--no-{setting.flag.removeprefix('--')}"
        case tuple():
            yield from (f"{setting.flag}={text}" for text in value)
        case _:
            yield f"{setting.flag}={value}"
