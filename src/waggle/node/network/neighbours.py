"""Logs who comes and who goes: a line a node, bounded however many a stranger makes up."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from waggle.core.ids import NodeId
from waggle.core.mesh_values import Peer
from waggle.node.observing.logs import facts

log = logging.getLogger(__name__)

MOST_LINES = 20
PAUSE_SECONDS, LOOK_SECONDS = 1.0, 30.0


async def log_neighbours(usable: Callable[[], Sequence[Peer]], changed: Callable[[], Awaitable[None]]) -> None:
    """Tell of every node that becomes usable, and of every one that ceases to be; until cancelled."""
    known: dict[NodeId, Peer] = {}
    while True:
        now = {peer.node: peer for peer in usable()}
        _log_change(known, now)
        known = now
        await asyncio.sleep(PAUSE_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await changed()


def _log_change(before: dict[NodeId, Peer], now: dict[NodeId, Peer]) -> None:
    lines = [("node joined", now[node]) for node in now.keys() - before.keys()]
    lines += [("node left", before[node]) for node in before.keys() - now.keys()]
    for event, peer in lines[:MOST_LINES]:
        models = len(peer.advert.offers) if event == "node joined" else None
        log.info(event, extra=facts(node=peer.node, name=peer.advert.name, models=models, nodes=len(now)))
    if len(lines) > MOST_LINES:
        log.info("more nodes joined or left", extra=facts(more=len(lines) - MOST_LINES, nodes=len(now)))
