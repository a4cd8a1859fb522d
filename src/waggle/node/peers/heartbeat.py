"""Telling a peer that works from one that is gone, where the link itself does not say.

A process that is killed on this machine breaks its streams at once; one whose power or cable is cut does not. So
whoever is expected to answer says every `BEAT_SECONDS` that it is still there, and whoever waits gives up after
`SILENT_SECONDS` without a word. Rounds that are over sooner pay nothing for it.
"""

import asyncio
from contextlib import suppress

from waggle.core.errors import PeerUnreachable
from waggle.mesh.channel import SignedChannel
from waggle.mesh.messages import Message, StillHere

BEAT_SECONDS = 2.0
SILENT_SECONDS = 7.0


async def keep_saying_still_here(channel: SignedChannel) -> None:
    """Until cancelled, or until nobody listens."""
    with suppress(PeerUnreachable):
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await channel.send(StillHere())


async def receive_alive(channel: SignedChannel) -> Message | None:
    """The next message; None when the other side is done.

    Raises:
        PeerUnreachable: the link broke, or nothing came for `SILENT_SECONDS`. RemoteProtocolError: a rule was broken.
    """
    try:
        async with asyncio.timeout(SILENT_SECONDS):
            return await channel.receive()
    except TimeoutError:
        raise PeerUnreachable(f"no word from {channel.peer} for {SILENT_SECONDS:g} s") from None
