"""The node's log: one line an event, pretty or JSON, each with the id of the request that it belongs to.

A log holds metadata only: no words of a prompt or an answer, no keys, no paths. So an exception is told by its kind and
where it arose, not by its text, unless the text is one of ours. Libraries may only warn, for what they say in passing
(addresses, headers) is not ours to judge. Control characters are escaped: nobody's name can forge a line.
"""

import json
import logging
import sys
import time
import traceback
from collections import deque
from typing import Literal, TextIO

from msgspec import Struct

from waggle.core.carried import request_id as request_id
from waggle.core.carried import requested
from waggle.core.errors import WaggleError

Fact = str | int | float | bool | None
Form = Literal["pretty", "json"]

OURS = "waggle"
LEVELS = {10: "debug", 20: "info", 30: "warning", 40: "error", 50: "critical"}
"""Our own words: a library may have renamed Python's for the whole process."""
MOST_MESSAGE, MOST_FACT = 1_000, 200
"""Characters."""
MOST_QUESTION = 200
MOST_FRAMES = 8
MOST_RECENT = 1_000

_prompts_are_logged = False


logged_request = requested
"""While the block runs, and in the tasks that it starts, log lines carry this request's id."""


def facts(**values: Fact) -> dict[str, dict[str, Fact]]:
    """What a line says beside its message, as `extra=facts(...)`; metadata only. None is left out."""
    return {"facts": {name: value for name, value in values.items() if value is not None}}


def question_fact(question: str) -> str | None:
    """The beginning of a question where the operator asked for prompts in the log, else None."""
    return question[:MOST_QUESTION] if _prompts_are_logged else None


class LogLine(Struct, frozen=True, kw_only=True):
    """One line of the log. `at` in seconds since 1970; `request` is empty where it belongs to none."""

    at: float
    level: str
    logger: str
    message: str
    request: str = ""
    facts: dict[str, Fact] = {}


def line_of(record: logging.LogRecord) -> LogLine:
    """A record as a line: bounded, and without what an exception says."""
    try:
        message = record.getMessage()
    except (TypeError, ValueError):  # a wrong call is no reason to lose the line
        message = str(record.msg)
    given: dict[str, Fact] = dict(getattr(record, "facts", {}))
    if record.exc_info and record.exc_info[1] is not None:
        given["fault"] = fault_of(record.exc_info[1])
    return LogLine(
        at=record.created,
        level=LEVELS.get(record.levelno) or record.levelname.lower(),
        logger=record.name,
        message=_inert(message[:MOST_MESSAGE]),
        request=getattr(record, "request", "") or request_id(),
        facts={name: _inert(value[:MOST_FACT]) if isinstance(value, str) else value for name, value in given.items()},
    )


def fault_of(error: BaseException) -> str:
    """An exception's kind and where it arose; its words only where they are ours."""
    frames = traceback.extract_tb(error.__traceback__)[-MOST_FRAMES:]
    places = " < ".join(f"{_module(frame.filename)}:{frame.lineno}" for frame in reversed(frames))
    words = f": {error}" if isinstance(error, WaggleError) else ""
    return f"{type(error).__name__}{words}" + (f" at {places}" if places else "")


def _module(path: str) -> str:
    """The last two parts of a path, which say nothing of where it lies."""
    return "/".join(path.split("/")[-2:])


def _inert(text: str) -> str:
    """Without line breaks, control characters and lone surrogates."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class PrettyForm(logging.Formatter):
    """For people: time, level, part, message, facts, the beginning of the request's id."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = line_of(record)
        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(line.at))
        words = [f"{clock}.{int(line.at * 1000) % 1000:03d} {line.level:7} {line.logger}: {line.message}"]
        words += [f"{name}={_shown(value)}" for name, value in line.facts.items()]
        return " ".join([*words, f"[{_inert(line.request)}]"] if line.request else words)


class JsonForm(logging.Formatter):
    """For machines: one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = line_of(record)
        own = {"at": _date(line.at), "level": line.level, "logger": line.logger, "message": line.message}
        if line.request:
            own["request"] = line.request
        return json.dumps(own | {name: value for name, value in line.facts.items() if name not in own})


def _shown(value: Fact) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case str() if " " in value or not value:
            return json.dumps(value, ensure_ascii=False)
        case _:
            return str(value)


def _date(at: float) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at))}.{int(at * 1000) % 1000:03d}Z"


class RecentLogs(logging.Handler):
    """Keeps the latest lines for the page that shows them."""

    def __init__(self, most: int = MOST_RECENT) -> None:
        """None yet."""
        super().__init__()
        self._lines: deque[LogLine] = deque(maxlen=most)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one; the handler's lock is held."""
        self._lines.append(line_of(record))

    def lines(self, limit: int = 200, *, level: str = "debug", request: str = "") -> tuple[LogLine, ...]:
        """The latest lines, the oldest first.

        Args:
            level: only those that matter so much.
            request: only those of one request.
        """
        self.acquire()
        try:
            kept = tuple(self._lines)
        finally:
            self.release()
        least = _weight(level)
        found = [line for line in kept if _weight(line.level) >= least and request in ("", line.request)]
        return tuple(found[-limit:]) if limit > 0 else ()


def _weight(level: str) -> int:
    return logging.getLevelNamesMapping().get(level.upper(), logging.INFO)


def configure_logs(
    level: str = "warning", form: Form = "pretty", stream: TextIO | None = None, *, log_prompts: bool = False
) -> RecentLogs:
    """Write this process's log from now on, in place of what an earlier call began; gives the latest lines.

    The latest lines hold everything from `info` on, whatever the level of the stream is.

    Args:
        level: debug, info, warning or error.
        stream: where lines go; standard error unless given.
        log_prompts: whether the beginning of questions is logged, too.
    """
    global _prompts_are_logged
    _prompts_are_logged = log_prompts
    wanted = _weight(level)
    root, ours = logging.getLogger(), logging.getLogger(OURS)
    for handler in [each for each in root.handlers if isinstance(each, _Ours)]:
        root.removeHandler(handler)
    written = _Written(stream or sys.stderr)
    written.setLevel(wanted)
    written.setFormatter(JsonForm() if form == "json" else PrettyForm())
    recent = _Recent()
    root.addHandler(written)
    root.addHandler(recent)
    root.setLevel(max(wanted, logging.WARNING))
    ours.setLevel(min(wanted, logging.INFO))
    return recent


class _Ours:
    """Marks the handlers that `configure_logs` made."""


class _Written(_Ours, logging.StreamHandler[TextIO]):
    """The stream that lines are written to."""


class _Recent(_Ours, RecentLogs):
    """The latest lines of this process."""
