"""The SQLite file of past rounds: one row to search by and one JSON record per round, within bounds.

Past a bound the oldest rounds of the key that holds the most go, so that nobody pushes out what others asked.
Knows nothing of threads or queues, and lets SQLite's errors through: `history` decides what they mean. Several
processes may have the file open at once (WAL). A file that was moved away or replaced under us is noticed and opened
anew. All values reach SQL as parameters only.
"""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from waggle.node.home.shared_file import identity, locked, make_private

VERSION = 1
BUSY_SECONDS = 5.0
SHOWN_CHARACTERS = 600
"""Of a question and an answer in a summary."""
MOST_WORDS, MOST_SEARCH_CHARACTERS = 16, 500
MOST_FOUND = 1_000
WAL_BYTES = 4 * 1024 * 1024
BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
BESIDE = ("-wal", "-shm")
FORGET_SHARE = 16
"""A sixteenth of a key's rounds goes at once, where more than one has to."""

TABLES = """
CREATE TABLE IF NOT EXISTS rounds (
    number INTEGER PRIMARY KEY, round_id TEXT NOT NULL UNIQUE, request TEXT NOT NULL, at REAL NOT NULL,
    question TEXT NOT NULL, answer TEXT, strategy TEXT NOT NULL, confidence REAL NOT NULL, abstained INTEGER NOT NULL,
    tokens INTEGER NOT NULL, seconds REAL NOT NULL, source TEXT NOT NULL, key TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS rounds_at ON rounds (at);
CREATE INDEX IF NOT EXISTS rounds_request ON rounds (request);
CREATE INDEX IF NOT EXISTS rounds_key ON rounds (key);
CREATE TABLE IF NOT EXISTS records (number INTEGER PRIMARY KEY, body BLOB NOT NULL);
"""
SEARCH_TABLE = """
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(question, answer, content='rounds', content_rowid='number');
CREATE TRIGGER IF NOT EXISTS words_in AFTER INSERT ON rounds BEGIN
    INSERT INTO words(rowid, question, answer) VALUES (new.number, new.question, new.answer); END;
CREATE TRIGGER IF NOT EXISTS words_out AFTER DELETE ON rounds BEGIN
    INSERT INTO words(words, rowid, question, answer) VALUES ('delete', old.number, old.question, old.answer); END;
"""
MOST_HELD = "SELECT key, count(*) FROM rounds GROUP BY key ORDER BY count(*) DESC, min(number) LIMIT 1"
LARGEST = """SELECT key, count(*) FROM rounds JOIN records USING (number)
GROUP BY key ORDER BY sum(length(body)) DESC, min(number) LIMIT 1"""
TOTALS = """SELECT count(*), total(abstained), total(answer IS NULL AND NOT abstained), total(tokens), total(seconds)
FROM rounds WHERE at >= ?"""
COLUMNS = "round_id, request, at, question, answer, strategy, confidence, abstained, tokens, seconds, source, key"
SHOWN = COLUMNS.replace("question, answer", f"substr(question, 1, {SHOWN_CHARACTERS}), "
                        f"substr(answer, 1, {SHOWN_CHARACTERS})")  # fmt: skip


class RoundSummary(Struct, frozen=True, kw_only=True):
    """What a list of past rounds shows. `at` in seconds since 1970; `tokens` are those of every call.

    `question` and `answer` may be cut; `source` says by which door the question came, `key` is the key's name. A round
    without an answer has `abstained` where somebody wrote something, and failed where nobody was heard.
    """

    round_id: str
    request: str
    at: float
    question: str
    answer: str | None
    strategy: str
    confidence: float
    abstained: bool
    tokens: int
    seconds: float
    source: str = ""
    key: str = ""


class Totals(Struct, frozen=True, kw_only=True):
    """Sums over past rounds. Those that `failed` had nobody who was heard; they are not among the `abstained`."""

    rounds: int = 0
    abstained: int = 0
    failed: int = 0
    tokens: int = 0
    seconds: float = 0.0


def is_broken(error: sqlite3.Error) -> bool:
    """Whether the file itself is damaged, or no database at all."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in BROKEN


class HistoryStore:
    """One connection to the file. Not to be used by two threads at once."""

    def __init__(self, path: Path, most_rounds: int, most_bytes: int) -> None:
        """Nothing is opened yet."""
        self.path = path
        self._most_rounds = most_rounds
        self._most_bytes = most_bytes
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self.has_words = True

    def add(self, summary: RoundSummary, body: bytes) -> bool:
        """Keep a round, unless one of its id is there already: nobody replaces the past."""
        connection = self._open()
        values = (*(getattr(summary, name) for name in RoundSummary.__struct_fields__),)
        marks = ", ".join("?" * len(values))
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            cursor = connection.execute(f"INSERT OR IGNORE INTO rounds ({COLUMNS}) VALUES ({marks})", values)
            if cursor.rowcount < 1:
                return False
            connection.execute("INSERT INTO records (number, body) VALUES (?, ?)", (cursor.lastrowid, body))
            self._forget(connection)
        return True

    def _forget(self, connection: sqlite3.Connection) -> None:
        """Remove the oldest rounds of whoever holds the most, past the most that are kept in number and in bytes."""
        while (surplus := self._count(connection) - self._most_rounds) > 0:
            key, held = connection.execute(MOST_HELD).fetchone()
            self._remove_oldest(connection, key, min(surplus, max(1, held // FORGET_SHARE)))
        while self._used(connection) > self._most_bytes and (found := connection.execute(LARGEST).fetchone()):
            key, held = found
            self._remove_oldest(connection, key, max(1, held // FORGET_SHARE))

    def _remove_oldest(self, connection: sqlite3.Connection, key: str, rounds: int) -> None:
        oldest = "SELECT number FROM rounds WHERE key = ? ORDER BY number LIMIT ?"
        connection.execute(f"DELETE FROM records WHERE number IN ({oldest})", (key, rounds))
        connection.execute(f"DELETE FROM rounds WHERE number IN ({oldest})", (key, rounds))

    def _used(self, connection: sqlite3.Connection) -> int:
        pages, free, size = (
            int(connection.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    def _count(self, connection: sqlite3.Connection) -> int:
        return int(connection.execute("SELECT count(*) FROM rounds").fetchone()[0])

    def search(self, text: str, limit: int, before: float | None) -> tuple[RoundSummary, ...]:
        """The latest rounds with all of the text's words (or their beginnings), or of this id; the latest first."""
        connection = self._open()
        where, values = self._where(text)
        if before is not None:
            where, values = [*where, "at < ?"], [*values, before]
        condition = f"WHERE {' AND '.join(where)}" if where else ""
        rows = connection.execute(
            f"SELECT {SHOWN} FROM rounds {condition} ORDER BY at DESC, number DESC LIMIT ?",
            (*values, max(0, min(limit, MOST_FOUND))),
        )
        return tuple(_summary(row) for row in rows.fetchall())

    def _where(self, text: str) -> tuple[list[str], list[str | float]]:
        words = _words(text)
        if not words:
            return ([], []) if not text.strip() else (["0"], [])
        is_id = "round_id = ? OR request = ?"
        ids: list[str | float] = [_plain(text[:MOST_SEARCH_CHARACTERS]).strip()] * 2
        if self.has_words:
            match = " ".join(f'"{word}"*' for word in words)
            return [f"({is_id} OR number IN (SELECT rowid FROM words WHERE words MATCH ?))"], [*ids, match]
        likes = " AND ".join("(question LIKE ? ESCAPE '\\' OR answer LIKE ? ESCAPE '\\')" for _ in words)
        return [f"({is_id} OR ({likes}))"], [*ids, *(f"%{_escaped(word)}%" for word in words for _ in range(2))]

    def body(self, round_id: str) -> bytes | None:
        """The record of a round, as it was added."""
        found = self._open().execute(
            "SELECT body FROM records JOIN rounds USING (number) WHERE round_id = ?", (_plain(round_id),)
        )
        row = found.fetchone()
        return bytes(row[0]) if row else None

    def totals(self, since: float) -> Totals:
        """Sums over the rounds from `since` on."""
        row = self._open().execute(TOTALS, (since,))
        rounds, abstained, failed, tokens, seconds = row.fetchone()
        return Totals(rounds=rounds, abstained=int(abstained), failed=int(failed), tokens=int(tokens), seconds=seconds)

    def count(self) -> int:
        """How many rounds are kept."""
        return self._count(self._open())

    # --- the file ---------------------------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        """The connection to the file that is at the path now."""
        if self._connection is not None and self._file == identity(self.path):
            return self._connection
        self.close()
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self.path):  # nobody moves the file aside meanwhile
            self._file = make_private(self.path)
            connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
        self._connection = connection
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, VERSION):
            raise sqlite3.NotSupportedError(f"it is of another version of waggle ({version})")
        if version == 0:  # only then, since this waits for whoever writes
            connection.executescript(TABLES)
            with suppress(sqlite3.OperationalError):  # this SQLite may have no full-text search
                connection.executescript(SEARCH_TABLE)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        words = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'words'")
        self.has_words = words.fetchone() is not None

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._file = None

    def move_aside(self) -> Path:
        """Put a damaged file out of the way, in place of the one before; another process may have done so already."""
        damaged, aside = self._file, self.path.with_name(self.path.name + ".broken")
        self.close()
        with locked(self.path):
            if damaged is not None and damaged == identity(self.path):
                for end in (*BESIDE, ""):
                    with suppress(FileNotFoundError):
                        os.replace(f"{self.path}{end}", f"{aside}{end}")
        return aside


def _summary(row: tuple[object, ...]) -> RoundSummary:
    fields = dict(zip(RoundSummary.__struct_fields__, row, strict=True))
    return RoundSummary(**fields | {"abstained": bool(fields["abstained"])})  # type: ignore[arg-type]


def _plain(text: str) -> str:
    """Without what SQLite cannot take."""
    return text.encode(errors="replace").decode().replace("\0", " ")


def _words(text: str) -> list[str]:
    """The words to search for: runs of letters and digits, so that nothing in them is syntax."""
    plain = _plain(text[:MOST_SEARCH_CHARACTERS])
    return "".join(character if character.isalnum() else " " for character in plain).split()[:MOST_WORDS]


def _escaped(word: str) -> str:
    return word.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
