"""Notices that a relay has died, and drops the link to it, so that what went through it moves to another one.

A machine that loses power says no goodbye: libp2p itself notices after 30 s, and until then every call through that
relay waits in vain. So each relay in use is asked something now and then; any answer will do, even that it does not
know what we want. Seconds throughout.
"""

import asyncio
from contextlib import suppress

from waggle.core.errors import MeshError, PeerBusy, PeerRefused, PeerUnreachable, RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.mesh.libp2p.relay_choice import relay_of
from waggle.mesh.transport import Transport

PROTOCOL = "/waggle/relay-alive/1"
WATCH_SECONDS = 4.0
ANSWER_SECONDS = 2.0
STRIKES = 2
"""Answers that have to fail to come, one after the other: giving up a good relay costs up to 30 s without it."""

MAX_WATCHED = 16


class RelayWatch:
    """Watches the relays that one transport uses; `run` it as a task."""

    def __init__(self, transport: Transport) -> None:
        """Do nothing yet."""
        self._transport = transport
        self._strikes: dict[NodeId, int] = {}

    async def run(self) -> None:
        """Look until cancelled; the network's errors do not end it."""
        while True:
            with suppress(MeshError):  # the transport is starting its daemon again, or is closed
                await self.look()
            await asyncio.sleep(WATCH_SECONDS)

    async def look(self) -> None:
        """Ask every relay in use once; drop those that failed to answer STRIKES times in a row."""
        relays = sorted(await self._in_use())[:MAX_WATCHED]
        self._strikes = {relay: self._strikes.get(relay, 0) for relay in relays}
        async with asyncio.TaskGroup() as group:
            for relay in relays:
                group.create_task(self._ask(relay))

    async def _in_use(self) -> set[NodeId]:
        """Relays that we are linked to, and that hold a place for us or carry a link of ours."""
        links = await self._transport.links()
        ways = [*await self._transport.addresses(), *(way for link in links if link.relayed for way in link.addresses)]
        return {link.peer for link in links} & {relay for relay in map(relay_of, ways) if relay is not None}

    async def _ask(self, relay: NodeId) -> None:
        try:
            with suppress(PeerBusy, PeerRefused, RemoteProtocolError):  # it lives
                await self._transport.call(relay, PROTOCOL, b"", seconds=ANSWER_SECONDS)
        except PeerUnreachable:
            await self._strike(relay)
        else:
            self._strikes[relay] = 0

    async def _strike(self, relay: NodeId) -> None:
        self._strikes[relay] += 1
        if self._strikes[relay] >= STRIKES:
            with suppress(MeshError):
                await self._transport.disconnect(relay)
