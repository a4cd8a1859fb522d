"""Where calibrations are kept, and which of them belongs to which engines.

What was measured of the bundled models lies in the package, what a person measured of engines that were named lies in
that person's home. Knows nothing of who asks for it.
"""

from collections.abc import Sequence
from pathlib import Path

from waggle.models.hive import hive_root
from waggle.node.calibration import Calibration, load_calibration
from waggle.node.engines.opening import HIVE, is_bundled

FILE = "calibration.json"


def kept_at(engines: Sequence[str], home: Path) -> Path:
    """Where a new calibration goes: that of the bundled models into the package, one for named engines to the user."""
    return home / FILE if engines else hive_root() / FILE


def bundled_calibration() -> Calibration | None:
    """What was measured of the bundled models; None where they were not measured."""
    path = kept_at((), Path())
    return load_calibration(path) if path.exists() else None


def calibration_of(engines: Sequence[str], home: Path) -> Calibration | None:
    """What was measured of the engines: in the user's own file; of bundled models that it does not know, in ours.

    Args:
        engines: their names as they were given; none for the bundled models.
        home: the user's folder.

    Raises:
        UsageError: a file is there and is no calibration.
    """
    only_ours = is_bundled(engines)
    if engines and (own := kept_at(engines, home)).exists():
        found = load_calibration(own)
        if not only_ours or all(name.removeprefix(HIVE) in found.nodes for name in engines):
            return found
    return bundled_calibration() if only_ours else None
