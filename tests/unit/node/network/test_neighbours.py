"""The log tells who comes and goes, once each, and cannot be flooded."""

import asyncio
import logging

import pytest

from tests.adverts import alive
from tests.virtual import in_virtual_time
from waggle.core.mesh_values import Peer
from waggle.node.network.neighbours import MOST_LINES, log_neighbours


@in_virtual_time
async def told(caplog: pytest.LogCaptureFixture, *views: list[str], tell: bool = True) -> list[tuple[str, object]]:
    """What is logged while these views follow each other."""
    caplog.set_level(logging.INFO, "waggle")
    view: list[Peer] = []
    event = asyncio.Event()
    task = asyncio.create_task(log_neighbours(lambda: tuple(view), event.wait))  # type: ignore[arg-type]
    for names in views:
        view[:] = [alive(name, name=name) for name in names]
        if tell:
            event.set()
        await asyncio.sleep(5.0 if tell else 50.0)
        event.clear()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return [(record.message, record.__dict__["facts"].get("node")) for record in caplog.records]


@pytest.mark.parametrize("tell", [True, False])
def test_who_comes_and_goes_is_told_once(caplog: pytest.LogCaptureFixture, tell: bool) -> None:
    views = told(caplog, ["ant"], ["ant", "bee"], ["bee"], ["bee"], tell=tell)
    assert views == [("node joined", "ant"), ("node joined", "bee"), ("node left", "ant")]


def test_a_flood_of_nodes_is_a_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    views = told(caplog, [f"n{number}" for number in range(5_000)], [])
    assert len(views) == 2 * (MOST_LINES + 1)
    assert views.count(("more nodes joined or left", None)) == 2
