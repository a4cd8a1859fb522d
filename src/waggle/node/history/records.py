"""Records of rounds as files: written whole, read strictly, checked by replaying."""

from pathlib import Path

import msgspec

from waggle.core.round_values import Record
from waggle.node.home.files import read_json, write_bytes
from waggle.node.rounds.runner import draw
from waggle.swarm.round import check_record

MAX_RECORD_BYTES = 64 * 1024 * 1024


def save_record(record: Record, path: str | Path) -> None:
    """Write a record as JSON. Raises UsageError where that is not possible."""
    write_bytes(Path(path), msgspec.json.encode(record))


def load_record(path: str | Path) -> Record:
    """Read a record and replay it.

    Raises:
        UsageError: missing, oversize or not a record.
        LocalProtocolError, RemoteProtocolError: its outcome does not follow from its events.
    """
    record = read_json(Path(path), Record, name="record", most_bytes=MAX_RECORD_BYTES)
    check_record(record, draw)
    return record
