"""Past rounds of this user, to be searched and opened again: an SQLite file that never stands in the way of an answer.

`add` only puts a round into a bounded line; one thread of its own writes. What cannot be written is told once and left
out: a full disk, a read-only folder or a damaged file costs history, never an answer. A damaged file is moved aside
(`.broken`) and a new one begun. Reads take milliseconds and may be done from any thread.
"""

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from waggle.core.round_values import Record
from waggle.node.history.records import MAX_RECORD_BYTES
from waggle.node.history.store import HistoryStore, RoundSummary, Totals, is_broken
from waggle.node.observing.ending import Ending, ending_of

__all__ = ["History", "RoundSummary", "Totals"]

T = TypeVar("T")
logger = logging.getLogger(__name__)

MOST_ROUNDS = 10_000
MOST_BYTES = 256 * 1024 * 1024
MOST_WAITING = 512
"""Rounds that wait to be written; past them a round is left out."""
MOST_NAME = 128
"""Characters of a source's or a key's name."""
GATHER_SECONDS = 0.2
CLOSE_SECONDS = 5.0
TELL_AGAIN_SECONDS = 600.0
FAULTS = (sqlite3.Error, OSError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)
"""What can go wrong with a file and its contents."""

_Job = Callable[[HistoryStore], object]


class History:
    """The rounds of the past. One object per process and file is enough, and other processes may have the same file."""

    def __init__(
        self,
        path: str | Path,
        *,
        most_rounds: int = MOST_ROUNDS,
        most_bytes: int = MOST_BYTES,
        questions: bool = True,
    ) -> None:
        """Keep rounds in the file `path`; it and its folder are made when they are first needed.

        Args:
            questions: whether the words of questions and conversations are kept. Answers always are, and an answer
                may repeat its question.
        """
        path = Path(path)
        self._questions = questions
        self._most_bytes = min(most_bytes, MAX_RECORD_BYTES)
        self._writer = HistoryStore(path, most_rounds, most_bytes)
        self._reader = HistoryStore(path, most_rounds, most_bytes)
        self._reading = threading.Lock()
        self._starting = threading.Lock()
        self._waiting: queue.Queue[_Job | None] = queue.Queue(MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._closed = False
        self._leaving = threading.Event()
        self._told: dict[str, float] = {}
        self.fault: str | None = None
        """Why rounds are not kept just now, in words; None while all is well."""

    def add(
        self,
        record: Record,
        *,
        request: str | None = None,
        at: float | None = None,
        source: str = "",
        key: str | None = None,
    ) -> None:
        """Keep a round, soon; returns at once and raises nothing.

        Args:
            request: the request's id where it is not the round's.
            at: when it was asked, in seconds since 1970; now where this is left out.
            source: the door that the question came by, such as "api".
            key: the name of the key that was used.
        """
        asked = time.time() if at is None else at
        name = request or record.plan.round_id
        if not self._closed:
            self._put(lambda store: self._write(store, record, name, asked, source, key or ""))

    def _put(self, job: _Job) -> None:
        self._start()
        try:
            self._waiting.put_nowait(job)
        except queue.Full:
            self._tell("rounds come faster than they can be written")

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._work, name="history", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        """Write what waits, gathered: a thread that wakes for every round takes the interpreter from its answer."""
        jobs: list[_Job | None] = []
        while None not in jobs:
            jobs = [self._waiting.get()]
            self._leaving.wait(GATHER_SECONDS)
            with suppress(queue.Empty):
                while True:
                    jobs.append(self._waiting.get_nowait())
            for job in jobs:
                if job is not None:
                    self._try(self._writer, job, None)
        self._writer.close()

    def _write(self, store: HistoryStore, record: Record, request: str, at: float, source: str, key: str) -> None:
        if not self._questions:
            record = replace(record, plan=replace(record.plan, question="", turns=()))
        body = msgspec.json.encode(record)
        if len(body) > self._most_bytes:
            raise ValueError("a round's record is too large")
        outcome = record.outcome
        summary = RoundSummary(
            round_id=record.plan.round_id,
            request=request,
            at=at,
            question=record.plan.question,
            answer=outcome.answer,
            strategy=record.plan.strategy,
            confidence=outcome.confidence,
            abstained=ending_of(outcome, record.events) is Ending.ABSTAINED,
            tokens=outcome.spent.proposing_tokens + outcome.spent.judging_tokens,
            seconds=outcome.spent.seconds,
            source=source[:MOST_NAME],
            key=key[:MOST_NAME],
        )
        store.add(summary, body)
        self.fault = None

    # --- reading ----------------------------------------------------------------------------------------------------

    def search(self, text: str = "", limit: int = 50, before: float | None = None) -> tuple[RoundSummary, ...]:
        """The latest rounds with all words of `text` in question or answer, or with this id; the latest first.

        Args:
            before: only rounds asked before this `at`, for the next page.
        """
        return self._read(lambda store: store.search(text, limit, before), ())

    def get(self, round_id: str) -> Record | None:
        """The record of a round; None where there is none, or none that this version can read."""
        return self._read(lambda store: _decoded(store.body(round_id)), None)

    def count(self) -> int:
        """How many rounds are kept."""
        return self._read(lambda store: store.count(), 0)

    def totals(self, since: float = 0.0) -> Totals:
        """Sums over the rounds from `since` (seconds since 1970) on."""
        return self._read(lambda store: store.totals(since), Totals())

    def _read(self, job: Callable[[HistoryStore], T], otherwise: T) -> T:
        with self._reading:
            return self._try(self._reader, job, otherwise)

    def flush(self, seconds: float = CLOSE_SECONDS) -> bool:
        """Wait until all that was added is written; whether it was, in time."""
        if self._closed:
            return False
        self._start()
        written = threading.Event()
        with suppress(queue.Full):
            self._waiting.put(lambda store: written.set(), timeout=seconds)
        return written.wait(seconds)

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Write what is waiting, and let go of the file; takes no longer than this."""
        self._closed = True
        self._leaving.set()
        if self._thread is not None:
            with suppress(queue.Full):
                self._waiting.put(None, timeout=seconds)
            self._thread.join(seconds)
        with self._reading:
            self._reader.close()

    # --- faults -----------------------------------------------------------------------------------------------------

    def _try(self, store: HistoryStore, job: Callable[[HistoryStore], T], otherwise: T) -> T:
        """Do it, once more with a new file where the old one is damaged."""
        try:
            return job(store)
        except sqlite3.Error as error:
            if not is_broken(error):
                return self._give_up(store, error, otherwise)
        except FAULTS as error:
            return self._give_up(store, error, otherwise)
        try:
            aside = store.move_aside()
            logger.error("the history was damaged; it was moved to %s and a new one begun", aside.name)
            return job(store)
        except FAULTS as error:
            return self._give_up(store, error, otherwise)

    def _give_up(self, store: HistoryStore, error: Exception, otherwise: T) -> T:
        with suppress(sqlite3.Error):
            store.close()
        self._tell(_reason(error))
        return otherwise

    def _tell(self, reason: str) -> None:
        """Each reason once in a while, however often it comes and goes."""
        now = time.monotonic()
        if now - self._told.get(reason, -TELL_AGAIN_SECONDS) >= TELL_AGAIN_SECONDS:
            self._told[reason] = now
            logger.warning("the history cannot be used, going on without it: %s", reason)
        self.fault = reason


def _decoded(body: bytes | None) -> Record | None:
    if body is None:
        return None
    try:
        return msgspec.json.decode(body, type=Record)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        logger.info("a round in the history is of another version, and is not shown")
        return None


def _reason(error: Exception) -> str:
    """In words that name no path and quote no round."""
    if isinstance(error, OSError):
        return error.strerror or "the file cannot be used"
    if isinstance(error, sqlite3.Error):
        return f"the history's file cannot be used ({getattr(error, 'sqlite_errorname', None) or type(error).__name__})"
    return str(error) if type(error) is ValueError else "a round that cannot be written as JSON"
