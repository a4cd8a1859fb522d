"""`waggle config`: the settings in force and where each came from; and the flags of settings for every verb."""

import functools
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Concatenate, ParamSpec

import typer

from waggle.cli.shared import AsJson
from waggle.core.inert import one_line
from waggle.node.config.load import DEFAULT, Configuration, load_settings
from waggle.node.config.table import SETTINGS, Setting

LEAST = 12
"""To this width the table's values and origins are folded."""
P = ParamSpec("P")
CONFIG_HELP = "Read the settings from this file instead of waggle.toml here or in the home folder."


def takes_settings(*names: str) -> Callable[[Callable[Concatenate[Configuration, P], None]], Callable[..., None]]:
    """Give a verb the flags of these settings and --config; it gets the `Configuration` as its first argument."""
    options = [_option(SETTINGS[name]) for name in names]
    options.append(_parameter("config_file", str | None, typer.Option("--config", metavar="FILE", help=CONFIG_HELP)))

    def decorate(verb: Callable[Concatenate[Configuration, P], None]) -> Callable[..., None]:
        @functools.wraps(verb)
        def run(*, config_file: str | None, **given: object) -> None:
            flags = {name: given.pop(name) for name in names}
            configuration = load_settings(flags, config=config_file)
            for warning in configuration.warnings:
                print(f"waggle: {one_line(warning, 500)}", file=sys.stderr)
            verb(configuration, **given)  # type: ignore[arg-type,call-arg]

        own = list(inspect.signature(verb).parameters.values())[1:]
        parameters = [*(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own), *options]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


def _option(setting: Setting) -> inspect.Parameter:
    """Texts are read by the table, so that a flag means what the variable means."""
    if setting.kind is bool:
        both = f"{setting.flag}/--no-{setting.flag.removeprefix('--')}"
        return _parameter(setting.name, bool | None, typer.Option(both, help=setting.help))
    repeatable = " Repeatable." if setting.kind is tuple else ""
    option = typer.Option(setting.flag, metavar=setting.metavar, help=setting.help + repeatable)
    return _parameter(setting.name, list[str] | None if setting.kind is tuple else str | None, option)


def _parameter(name: str, kind: object, option: object) -> inspect.Parameter:
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind, option],
    )


@takes_settings(*SETTINGS)
def config(
    configuration: Configuration,
    example: Annotated[bool, typer.Option("--example", help="Print a waggle.toml with every setting.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the settings in force and where each came from.

    In the order of rising precedence: defaults, waggle.toml, the environment (WAGGLE_*), flags.
    """
    if example:
        from waggle.node.config.example import example as text

        print(text(), end="")
    elif as_json:
        import json

        print(json.dumps(_facts(configuration), allow_nan=False))
    else:
        _print_table(configuration)


def _facts(configuration: Configuration) -> dict[str, object]:
    settings = {
        name: {"value": shown_value(configuration, name), "from": configuration.origins[name]} for name in SETTINGS
    }
    file = None if configuration.file is None else str(configuration.file)
    return {"file": file, "settings": settings, "warnings": list(configuration.warnings)}


def _print_table(configuration: Configuration) -> None:
    from waggle.cli.table import Column, print_table, screen_width, table_lines

    rows = [row for name in SETTINGS for row in _rows(configuration, name)]
    heads = {"setting": None, "value": LEAST, "from": LEAST}
    columns = [
        Column(head=head, cells=cells, folds=least is not None, least=least)
        for (head, least), cells in zip(heads.items(), zip(*rows, strict=True), strict=True)
    ]
    width = screen_width()
    if width is None or max(map(len, table_lines(columns, width))) <= width:
        print_table(columns)
        return
    for name in SETTINGS:  # too narrow for three columns
        (_, value, origin), *more = _rows(configuration, name)
        print("\n  ".join([f"{name} = {value}", *(row[1] for row in more)]))
        if origin != DEFAULT:
            print(f"  from {origin}")


def _rows(configuration: Configuration, name: str) -> list[tuple[str, str, str]]:
    """A row for a setting, and one for every further value of a list."""
    from waggle.cli.table import shown

    value = shown_value(configuration, name)
    texts = value if isinstance(value, list) else [str(value).lower() if isinstance(value, bool) else str(value)]
    first, *more = [shown(text) or "-" for text in texts] or ["-"]
    return [(name, first, shown(configuration.origins[name])), *(("", each, "") for each in more)]


def shown_value(configuration: Configuration, name: str) -> object:
    """The value for JSON, without passwords in addresses."""
    match getattr(configuration.settings, name):
        case tuple() as texts:
            return [_without_secrets(text) for text in texts]
        case Path() as path:
            return str(path)
        case other:
            return other


def _without_secrets(text: str) -> str:
    """An address without its user, password and query, which servers would refuse but people write."""
    return re.sub(r"\?[^#]*", "?***", re.sub(r"://.*@", "://***@", text))
