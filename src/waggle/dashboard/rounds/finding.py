"""Finds past rounds by their ids. Whoever may open the pages may see every round of this node."""

import asyncio
import re
from collections.abc import Sequence

from waggle.core.round_values import Record
from waggle.node.history.history import History

FLUSH_SECONDS = 5.0
ROUND_ID = re.compile(r"[0-9a-f]{1,64}")


async def find_rounds(history: History, names: Sequence[str]) -> list[Record]:
    """The records of these rounds, in this order; those that are not there, or are no ids, are left out."""
    wanted = [name for name in names if ROUND_ID.fullmatch(name)]
    found = await asyncio.to_thread(lambda: {name: history.get(name) for name in wanted})
    missing = [name for name, record in found.items() if record is None]
    if missing:  # a round that has just ended may still wait to be written
        await asyncio.to_thread(history.flush, FLUSH_SECONDS)
        found |= await asyncio.to_thread(lambda: {name: history.get(name) for name in missing})
    return [record for name in wanted if (record := found[name]) is not None]
