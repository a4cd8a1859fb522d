"""However many streams are wanted, few are being opened at a time: the daemon resets connections under more."""

import asyncio

import pytest

from tests.unit.mesh.libp2p.arena import Arena, until
from waggle.mesh.libp2p.framing import header
from waggle.mesh.libp2p.serving import stream_name
from waggle.mesh.limits import MAX_OPENING_STREAMS
from waggle.mesh.transport import Refusal

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

WANTED = 100
ACCEPTED = header(1) + bytes([Refusal.NONE])


async def test_few_streams_are_being_opened_at_a_time_and_all_are_in_the_end(arena: Arena, name: str) -> None:
    """The peer takes every stream but says nothing, so that each stays half open until the test has it greeted."""
    await arena.attacker.daemon.take_streams(stream_name(name))
    half_open = arena.attacker.streams
    half_open.clear()
    opening = [asyncio.create_task(arena.node.open(arena.attacker.node_id, name, seconds=200.0)) for _ in range(WANTED)]
    greeted = 0
    while greeted < WANTED:
        due = min(greeted + MAX_OPENING_STREAMS, WANTED)
        await until(lambda due=due: len(half_open) >= due)  # type: ignore[misc]
        await asyncio.sleep(0.3)
        assert len(half_open) == due
        for stream in half_open[greeted:due]:
            await stream.head
            stream.write_head(ACCEPTED)
        greeted = due
    for opened in await asyncio.gather(*opening):
        await opened.close()
