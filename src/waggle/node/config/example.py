"""A `waggle.toml` with every setting at its default, commented: what `waggle config --example` and the docs show."""

import json

from waggle.node.config.table import SETTINGS, Setting, Value

HEAD = """\
# waggle.toml: every setting with its default. Remove the # in front of those you want to change.
# In the order of rising precedence: this file, the environment, flags."""


def example() -> str:
    """The text of the file."""
    return "\n".join([HEAD, *map(_entry, SETTINGS.values())]) + "\n"


def _entry(setting: Setting) -> str:
    repeatable = ", repeatable" if setting.kind is tuple else ""
    return f"\n# {setting.help}\n# {setting.variable}, {setting.flag}{repeatable}\n# {assignment(setting)}"


def assignment(setting: Setting) -> str:
    """The line that gives a setting its default."""
    return f"{setting.name} = {in_toml(setting.default)}"


def in_toml(value: Value) -> str:
    """A value as TOML writes it; for ours, that is how JSON does."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, default=str, ensure_ascii=False)
