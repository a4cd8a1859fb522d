"""What stands behind the guard in its tests."""

import pytest

from tests.unit.gateway.door.inner import Inner


@pytest.fixture
def inner() -> Inner:
    return Inner()
