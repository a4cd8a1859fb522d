"""`waggle key`: make, list and revoke the API keys of this user's gateway."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from waggle.cli.config import takes_settings
from waggle.cli.gateway import KEYS
from waggle.cli.shared import AsJson, make_group, plain_console

if TYPE_CHECKING:
    from waggle.gateway.keys.store import KeyInfo, KeyStore
    from waggle.node.config.load import Configuration

LARGEST_LIMIT = 1_000_000_000
MILLION = 1_000_000
NAME_WIDTH = 8  # at least, however narrow the terminal

app = make_group("Make, list and revoke the API keys of your gateway.")


class Scope(StrEnum):
    """What a key is good for."""

    ASK = "ask"
    ADMIN = "admin"


@app.callback()
def key() -> None:
    """Make, list and revoke the API keys of your gateway.

    They hold for a gateway that runs from the next request on; once there are keys, waggle serve asks for them.
    """


@app.command("create")
@takes_settings("home")
def create(
    configuration: "Configuration",
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is called in lists.")],
    scope: Annotated[
        Scope, typer.Option(help="ask: the API; admin: also the pages, metrics and descriptions.")
    ] = Scope.ASK,
    requests_per_minute: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Most questions and embeddings in a minute; looking (GET) is free.",
            min=1,
            max=LARGEST_LIMIT,
        ),
    ] = None,
    tokens_per_minute: Annotated[
        int | None, typer.Option(metavar="N", help="Most tokens of models in a minute.", min=1, max=LARGEST_LIMIT)
    ] = None,
) -> None:
    """Make a key and print it, this once: only its hash is kept."""
    scopes = ("ask",) if scope is Scope.ASK else ("ask", "admin")
    with _store(configuration) as keys:
        text, info = keys.create(name, scopes, requests_per_minute, tokens_per_minute)
    print(f"key {info.id} ({info.name}); it is not shown again:", file=sys.stderr)
    print(text)


@app.command("list")
@takes_settings("home")
def show(configuration: "Configuration", as_json: AsJson = False) -> None:
    """List the keys: their first characters, what they may do, and whether they still hold."""
    import json

    import msgspec

    found = _listed(configuration)
    if as_json:
        print(json.dumps({"keys": msgspec.to_builtins(found)}))
    elif not found:
        plain_console().print("there are no keys: make one with waggle key create NAME")
    else:
        _print_table(found)


@app.command("revoke")
@takes_settings("home")
def revoke(
    configuration: "Configuration",
    which: Annotated[str, typer.Argument(metavar="NAME-OR-ID", help="A key that still holds.")],
) -> None:
    """End a key, at once and for ever."""
    from waggle.core.errors import UsageError

    if not _listed(configuration):
        raise UsageError("there are no keys")
    with _store(configuration) as keys:
        ended = keys.revoke(which)
    print(f"revoked {ended.id} ({ended.name})")


def _listed(configuration: "Configuration") -> "tuple[KeyInfo, ...]":
    """All keys; where there were never any, no file is made: a gateway that finds one asks for keys."""
    if not (configuration.settings.home / KEYS).exists():
        return ()
    with _store(configuration) as keys:
        return keys.list()


@contextmanager
def _store(configuration: "Configuration") -> "Iterator[KeyStore]":
    from waggle.gateway.keys.store import KeyStore

    keys = KeyStore(configuration.settings.home / KEYS)
    try:
        yield keys
    finally:
        keys.close()


def _print_table(found: "tuple[KeyInfo, ...]") -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("id", "name", "key", "may", "requests\na minute", "tokens\na minute", "made", "state"):
        table.add_column(
            column, no_wrap=column != "name", overflow="fold", min_width=NAME_WIDTH if column == "name" else None
        )
    for info in found:
        table.add_row(*map(Text, _cells(info)))
    plain_console().print(table)


def _cells(info: "KeyInfo") -> tuple[str, ...]:
    from datetime import UTC, datetime

    return (
        info.id,
        info.name,
        info.prefix,
        info.scopes[-1],  # admin includes ask
        _shown_limit(info.requests_per_minute),
        _shown_limit(info.tokens_per_minute),
        f"{datetime.fromtimestamp(info.created, UTC):%Y-%m-%d}",
        "live" if info.revoked is None else "revoked",
    )


def _shown_limit(limit: int | None) -> str:
    """A limit in at most eight characters; the exact number is in --json."""
    if limit is None:
        return "-"
    return f"{limit:,}" if limit < MILLION else f"{limit / MILLION:.4g}M"
