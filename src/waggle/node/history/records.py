"""Records of rounds as files: written whole, read strictly, checked by replaying."""

from pathlib import Path

import msgspec

from waggle.core.round_values import Record
from waggle.node.chance import draw
from waggle.node.home.files import read_json, replace_file
from waggle.strategies.machine import Moment, check_record, replay
from waggle.strategies.ways import begin

MAX_RECORD_BYTES = 64 * 1024 * 1024


def save_record(record: Record, path: str | Path) -> None:
    """Write a record as JSON. Raises UsageError where that is not possible."""
    replace_file(Path(path), msgspec.json.encode(record))


def load_record(path: str | Path) -> Record:
    """Read a record and replay it.

    Raises:
        UsageError: missing, oversize or not a record, or its way of answering is not installed here.
        LocalProtocolError, RemoteProtocolError: its outcome does not follow from its events.
    """
    record = read_json(Path(path), Record, name="record", most_bytes=MAX_RECORD_BYTES)
    check_record(begin(record.plan), record, draw)
    return record


def replay_record(record: Record) -> tuple[Moment, ...]:
    """The round after every event of the record.

    Raises:
        UsageError: its way of answering is not installed here.
        LocalProtocolError, RemoteProtocolError: the events are not those of a round.
    """
    return replay(begin(record.plan), record.events, draw)
