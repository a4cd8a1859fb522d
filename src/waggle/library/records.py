"""Records of rounds: kept, read back and looked at again."""

from collections.abc import Iterator
from pathlib import Path

from waggle.core.round_picture import RoundPicture
from waggle.core.round_values import Record
from waggle.node.history.records import load_record, replay_record, save_record


def save(record: Record, path: str | Path) -> None:
    """Write a record as JSON. Raises UsageError where that is not possible."""
    save_record(record, path)


def load(path: str | Path) -> Record:
    """Read a record and replay it.

    Raises:
        UsageError: it is no record, or its way of answering is unknown here.
        ProtocolError: its outcome does not follow from its events.
    """
    return load_record(path)


def replay(record: Record) -> Iterator[RoundPicture]:
    """What there was to see after every event of a round, in their order; each picture is made when it is asked for.

    Raises:
        UsageError: its way of answering is unknown here. ProtocolError: its events are not those of a round.
    """
    return (moment.picture() for moment in replay_record(record))
