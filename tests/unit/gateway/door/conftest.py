"""What stands behind the guard in its tests, and a store of keys."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.gateway.door.inner import Inner
from waggle.gateway.keys.store import KeyStore


@pytest.fixture
def inner() -> Inner:
    return Inner()


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[KeyStore]:
    with closing(KeyStore(tmp_path / "keys.sqlite")) as store:
        yield store
