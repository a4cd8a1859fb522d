"""The `waggle` command: collects the verbs and turns every failure into one clear line.

Exit status: 0 answered, 1 failed, 2 wrong usage, 3 abstained, 130 interrupted. Verbs import what is heavy only when
they run, so that `--help` answers at once. With WAGGLE_TRACEBACK=1 in the environment a failure shows where it arose.
"""

import io
import os
import sys

# Small matrices: a second thread of the linear-algebra library costs more than it brings. Read when numpy is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from typing import Annotated

import typer

from waggle import __version__
from waggle.cli import ask, bench, calibrate, config, doctor, export, fetch, join, key, local, models, serve, train, up
from waggle.cli.shared import make_group
from waggle.core.errors import UsageError, WaggleError
from waggle.core.inert import one_line

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130
MOST_SHOWN = 2_000  # characters of an error

app = make_group("Many small models answer a question together, better than any one of them.")
app.command("ask")(ask.ask)
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


def run() -> None:
    """Entry point of the console script."""
    raise SystemExit(run_with(sys.argv[1:]))


def run_with(arguments: list[str]) -> int:
    """Run one command line, help where it is empty; returns the exit status."""
    _make_output_lenient()
    try:
        status = app(arguments or ["--help"], prog_name="waggle", standalone_mode=False) or 0
        if status == INTERRUPTED:  # typer has caught it
            _complain("interrupted")
        print(end="", flush=True)  # here, a full disk or a reader that has left is still a failure
        return int(status)
    except (Exception, KeyboardInterrupt) as error:  # the outermost door: people get a sentence
        if os.environ.get("WAGGLE_TRACEBACK"):
            raise
        return report_failure(error)
    finally:
        _settle_output()


def report_failure(error: BaseException) -> int:
    """Say in one line what went wrong, or went wrong first where several tasks failed; returns the exit status."""
    match error:
        case BaseExceptionGroup():
            return report_failure(error.exceptions[0])
        case typer.TyperException():
            where = getattr(getattr(error, "ctx", None), "command_path", "waggle")
            return _complain(f"{error.format_message()} (see {where} --help)", WRONG_USAGE)
        case UsageError():
            return _complain(str(error), WRONG_USAGE)
        case WaggleError():
            return _complain(str(error))
        case KeyboardInterrupt():
            return _complain("interrupted", INTERRUPTED)
        case BrokenPipeError():
            return FAILED
        case OSError():
            return _complain(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
        case _:
            fault = f"{type(error).__name__}: {error}"
            return _complain(f"a fault in waggle itself, please report it (WAGGLE_TRACEBACK=1 shows where): {fault}")


def _complain(message: str, status: int = FAILED) -> int:
    if sys.stderr is not None:  # print would take standard output instead
        print(f"waggle: {one_line(message, MOST_SHOWN)}", file=sys.stderr)
    return status


def _make_output_lenient() -> None:
    """A terminal that lacks a character gets its escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _settle_output() -> None:
    """Write what is still held back; where nobody reads on, drop it, or the interpreter would complain at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
