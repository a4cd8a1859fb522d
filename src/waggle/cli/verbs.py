"""The verbs of the `waggle` command. Each imports what is heavy only when it runs, so that `--help` answers at once."""

from typing import Annotated

import typer

from waggle import __version__
from waggle.cli import (
    ask,
    bench,
    calibrate,
    config,
    doctor,
    export,
    fetch,
    join,
    key,
    local,
    models,
    replay,
    serve,
    train,
    up,
)
from waggle.cli.shared import make_group

app = make_group("Many small models answer a question together, better than any one of them.")
app.command("ask")(ask.ask)
app.command("replay")(replay.replay)
app.command("models")(models.models)
app.command("calibrate")(calibrate.calibrate)
app.command("doctor")(doctor.doctor)
app.command("serve")(serve.serve)
app.command("up")(up.up)
app.command("join")(join.join)
app.command("invite")(local.invite)
app.command("peers")(local.peers)
app.command("leave")(local.leave)
app.command("share")(local.share)
app.command("fetch")(fetch.fetch)
app.command("config")(config.config)
app.add_typer(key.app, name="key")
app.add_typer(export.app, name="export")
app.add_typer(train.app, name="train")
app.add_typer(bench.app, name="bench")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"waggle {__version__}")
        raise typer.Exit


@app.callback()
def waggle(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Many small models answer a question together, better than any one of them."""
