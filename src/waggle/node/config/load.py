"""Puts the settings together: defaults, then `waggle.toml`, then the environment, then flags; each keeps its origin.

Unknown keys in a file are refused; unknown `WAGGLE_*` variables only draw a warning, because other programs set
variables too (Kubernetes makes WAGGLE_PORT of a service called waggle). Values that are refused are never repeated.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from waggle.core.errors import UsageError
from waggle.node.config.settings import Settings
from waggle.node.config.table import SETTINGS, Setting, Value
from waggle.node.config.tomlfile import find_file, nearest, read_file

DEFAULT = "default"
OTHER_VARIABLES = ("WAGGLE_CONFIG", "WAGGLE_TRACEBACK")
"""Variables of ours that are no settings."""
NOT_SETTINGS = ("WAGGLE_TEST_", "WAGGLE_BENCH_")
"""How the names of those begin that tests and benches read."""

Layer = Mapping[str, tuple[Value, str]]
"""Some settings: value and origin by name."""


class Configuration(Struct, frozen=True, kw_only=True):
    """The settings in force, where each came from, the file that was read, and what a person should be told."""

    settings: Settings
    origins: dict[str, str]
    file: Path | None = None
    warnings: tuple[str, ...] = ()


def load_settings(
    flags: Mapping[str, object] | None = None,
    *,
    config: str | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path = Path(),
) -> Configuration:
    """The effective settings.

    Args:
        flags: what the command line gave, by setting: text, texts of a list, or a boolean; None for not given.
        config: the file that --config named.
        environment: this process's own where None.
        folder: the working folder.

    Raises:
        UsageError: naming the place, the setting and what was expected.
    """
    environment = os.environ if environment is None else environment
    from_flags, from_environment = dict(_flag_layer(flags or {})), dict(_environment_layer(environment))
    home = _home(_values(from_environment, from_flags))
    found, warnings = find_file(config, environment.get("WAGGLE_CONFIG"), folder, home)
    from_file = read_file(found.path) if found else {}
    layers: list[Layer] = [_defaults(), from_file, from_environment, from_flags]
    values = _values(*layers)
    settings = Settings(**values | {"home": _home(values)})  # type: ignore[arg-type]
    origins = {name: origin for layer in layers for name, (_, origin) in layer.items()}
    if found and found.by_chance and (origins["engines"] == from_file.get("engines", ("", ""))[1]):
        _keep_key_at_home(settings, found.path)
    return Configuration(
        settings=settings,
        origins=origins,
        file=found.path if found else None,
        warnings=(*warnings, *_unknown(environment, settings)),
    )


def _values(*layers: Layer) -> dict[str, Value]:
    """What holds where several layers speak: the last one's word."""
    return {name: value for layer in layers for name, (value, _) in layer.items()}


def _defaults() -> Layer:
    return {name: (setting.default, DEFAULT) for name, setting in SETTINGS.items()}


def _environment_layer(environment: Mapping[str, str]) -> Iterator[tuple[str, tuple[Value, str]]]:
    for name, setting in SETTINGS.items():
        text = environment.get(setting.variable, "").strip()
        if text:
            yield name, (_read_text(setting, text, setting.variable), setting.variable)


def _flag_layer(flags: Mapping[str, object]) -> Iterator[tuple[str, tuple[Value, str]]]:
    for name, given in flags.items():
        setting = SETTINGS[name]
        if isinstance(given, str):
            yield name, (_read_text(setting, given, setting.flag), setting.flag)
        elif given is not None and given != []:
            yield name, (_read(setting, given, setting.flag), setting.flag)


def _read(setting: Setting, value: object, origin: str) -> Value:
    try:
        return setting.read(value)
    except ValueError as error:
        raise UsageError(f"{origin} {error}") from None


def _read_text(setting: Setting, text: str, origin: str) -> Value:
    try:
        return setting.read_text(text)
    except ValueError as error:
        raise UsageError(f"{origin} {error}") from None


def _home(values: Mapping[str, Value]) -> Path:
    """The user's folder, in full."""
    try:
        return Path(str(values.get("home", Settings().home))).expanduser().absolute()
    except RuntimeError:  # there is no ~: a container's nameless user
        raise UsageError("there is no such home folder: set WAGGLE_HOME to the full path of a folder") from None


def _keep_key_at_home(settings: Settings, path: Path) -> None:
    """A folder that somebody sent us may hold a `waggle.toml`: it must not learn our key by naming a server of its own.

    Raises:
        UsageError: saying how to trust the file.
    """
    if settings.key_variable and any(engine.startswith(("http://", "https://")) for engine in settings.engines):
        raise UsageError(
            f"{path} names servers that your key would be sent to; if you trust it, say so: --config {path.name}"
        )


def _unknown(environment: Mapping[str, str], settings: Settings) -> Iterator[str]:
    known = [*(setting.variable for setting in SETTINGS.values()), *OTHER_VARIABLES, settings.key_variable]
    for name in sorted(environment.keys() - known):
        if name.startswith("WAGGLE_") and not name.startswith(NOT_SETTINGS):
            yield f"the environment variable {name} is none of waggle's{nearest(name, known)}"
