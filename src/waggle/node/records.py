"""Records of rounds as files: written whole, read strictly, checked by replaying."""

from pathlib import Path

import msgspec

from waggle.core.errors import UsageError
from waggle.core.round_values import Record
from waggle.node.runner import draw
from waggle.swarm.round import check_record

MAX_RECORD_BYTES = 64 * 1024 * 1024


def save_record(record: Record, path: str | Path) -> None:
    """Write a record as JSON. Raises UsageError where that is not possible."""
    try:
        Path(path).write_bytes(msgspec.json.encode(record))
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def load_record(path: str | Path) -> Record:
    """Read a record and replay it.

    Raises:
        UsageError: missing, oversize or not a record.
        LocalProtocolError, RemoteProtocolError: its outcome does not follow from its events.
    """
    try:
        if Path(path).stat().st_size > MAX_RECORD_BYTES:
            raise UsageError(f"{path} is too large to be a record")
        record = msgspec.json.decode(Path(path).read_bytes(), type=Record)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise UsageError(f"{path} is not a record of this version: {error}") from error
    check_record(record, draw)
    return record
