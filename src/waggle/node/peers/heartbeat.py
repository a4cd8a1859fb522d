"""Telling a peer that works from one that is gone, where the link itself does not say.

A process that is killed on this machine breaks its streams at once; one whose power or cable is cut does not. So
whoever is expected to answer says every `BEAT_SECONDS` that it is still there, and whoever waits gives up after
`SILENT_SECONDS` without a word. Rounds that are over sooner pay nothing for it. Beats that come much faster than they
are due break a rule: each costs us as much as a message that says something.
"""

import asyncio
from contextlib import suppress

from waggle.core.errors import PeerUnreachable, RemoteProtocolError
from waggle.mesh.channel import SignedChannel
from waggle.mesh.messages import Message, StillHere

BEAT_SECONDS = 2.0
SILENT_SECONDS = 7.0
SPARE_BEATS = 8  # beyond twice as many as are due: a slow link may bring several at once


async def keep_saying_still_here(channel: SignedChannel) -> None:
    """Until cancelled, or until nobody listens."""
    with suppress(PeerUnreachable):
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await channel.send(StillHere())


class Hearing:
    """What the other side of a channel says, and when it last said anything."""

    def __init__(self, channel: SignedChannel) -> None:
        """Nothing has been said yet."""
        self._channel = channel
        self._now = asyncio.get_running_loop().time
        self._began = self.last = self._now()
        self._beats = 0

    async def next(self) -> Message | None:
        """The next message that is no beat; None when the other side is done.

        Raises:
            PeerUnreachable: the link broke, or nothing came for `SILENT_SECONDS`.
            RemoteProtocolError: a rule was broken; the stream is closed.
        """
        while isinstance(message := await self._receive(), StillHere):
            self._beats += 1
            if self._beats > SPARE_BEATS + 2 * (self.last - self._began) / BEAT_SECONDS:
                await self._channel.close()
                raise RemoteProtocolError(f"{self._channel.peer} says without end that it is still there")
        return message

    async def _receive(self) -> Message | None:
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                message = await self._channel.receive()
        except TimeoutError:
            raise PeerUnreachable(f"no word from {self._channel.peer} for {SILENT_SECONDS:g} s") from None
        self.last = self._now()
        return message
