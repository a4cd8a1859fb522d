"""The `waggle` command: runs a verb and turns every failure into one clear line.

Exit status: 0 answered, 1 failed (also where no node of yours is running), 2 wrong usage, 3 abstained, 130 interrupted.
The verbs are only imported where Ctrl-C is already caught. With WAGGLE_TRACEBACK=1 in the environment a failure shows
where it arose.
"""

import errno
import io
import os
import re
import sys

# Small matrices: a second thread of the linear-algebra library costs more than it brings. Read when numpy is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from waggle.cli.output import writing
from waggle.core.errors import UsageError, WaggleError
from waggle.core.inert import one_line

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130
MOST_SHOWN = 2_000  # characters of an error
CAUSES = (
    (r"Input should be a valid integer.*", "it must be a whole number"),
    (r"Input should be a valid number.*", "it must be a number"),
    (r"Input should be greater than or equal to (\S+?)\.?", r"it must be at least \1"),
    (r"Input should be less than or equal to (\S+?)\.?", r"it must be at most \1"),
    (r"Input should be greater than (\S+?)\.?", r"it must be more than \1"),
    (r"Input should be less than (\S+?)\.?", r"it must be less than \1"),
    (r"Input should be a finite number.*", "it must be a finite number"),
)
"""What the parser of command lines says behind "Invalid value for ...: ", whole, and what we say."""
_CHOICES = re.compile(r"Value error, .* is not one of ((?:'[^']*'(?:, )?)+)\.?")
_HEAD = re.compile(r"(Invalid value(?: for [^:]*)?: )(.*)", re.DOTALL)


def run() -> None:
    """Entry point of the console script."""
    raise SystemExit(run_with(sys.argv[1:]))


def run_with(arguments: list[str]) -> int:
    """Run one command line, help where it is empty; returns the exit status."""
    try:
        _make_output_lenient()
        from waggle.cli.verbs import app

        status = app(arguments or ["--help"], prog_name="waggle", standalone_mode=False) or 0
        if status == INTERRUPTED:  # typer has caught it
            _complain("interrupted")
        with writing("all of the output"):  # here, a full disk or a reader that has left is still a failure
            print(end="", flush=True)
        return int(status)
    except (Exception, KeyboardInterrupt) as error:  # the outermost door: people get a sentence
        if os.environ.get("WAGGLE_TRACEBACK"):
            raise
        return report_failure(error)
    finally:
        _settle_output()


def report_failure(error: BaseException) -> int:
    """Say in one line what went wrong, or went wrong first where several tasks failed; returns the exit status."""
    if isinstance(error, KeyboardInterrupt):  # perhaps in the middle of the import below
        return _complain("interrupted", INTERRUPTED)
    import typer

    match error:
        case BaseExceptionGroup():
            return report_failure(error.exceptions[0])
        case typer.TyperException():
            where = getattr(getattr(error, "ctx", None), "command_path", "waggle")
            return _complain(f"{plain_usage(error.format_message())} (see {where} --help)", WRONG_USAGE)
        case UsageError():
            return _complain(str(error), WRONG_USAGE)
        case WaggleError():
            return _complain(str(error))
        case BrokenPipeError():
            return FAILED
        case OSError(filename=None, errno=errno.ENOSPC):
            return _complain(f"cannot write: {error.strerror}")
        case OSError():
            return _complain(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
        case _:
            fault = f"{type(error).__name__}: {error}"
            return _complain(f"a fault in waggle itself, please report it (WAGGLE_TRACEBACK=1 shows where): {fault}")


def plain_usage(message: str) -> str:
    """The message, where we know the cause, as "Invalid value for '--seed': it must be a whole number"."""
    if (parts := _HEAD.fullmatch(message)) is None:
        return message
    head, cause = parts.groups()
    if choices := _CHOICES.fullmatch(cause):
        return f"{head}it must be one of {choices[1].replace(chr(39), '')}"
    for pattern, words in CAUSES:
        if found := re.fullmatch(pattern, cause, re.DOTALL):
            return head + found.expand(words)
    return head + cause.removeprefix("Value error, ")


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
