"""What the tests in network namespaces share."""

import asyncio

import pytest

from waggle.testing.netlab import can_make_networks


@pytest.fixture(scope="session")
def networks() -> None:
    """Skips where no network namespaces can be made, and says why."""
    if (reason := asyncio.run(can_make_networks())) is not None:
        pytest.skip(reason)
