"""Two live nodes with one key: found out, told, and ended by a rule that both follow: the later start ends.

A sign of a twin is an advert or beacon under our key that this start did not make. It may as well be an old one of
ours, so whoever is at its addresses is asked, under a throwaway identity: only a live owner of the key can answer
there. Both tell when they started, and whoever asked says so once more, signed for the other's ears: the other may
not be able to ask by itself, or not before the later one has ended. Dates are those of each machine's own clock;
nobody without the key can end a node.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Annotated

from msgspec import Meta, Struct

from waggle.core.errors import MeshError, RemoteProtocolError, UsageError, WaggleError
from waggle.core.ids import NodeId
from waggle.mesh.packing import decode_as, encode
from waggle.mesh.transport import Transport
from waggle.node.network.outside import passer_by
from waggle.trust.keys import SIGNATURE_BYTES, NodeKey, verify

PROTOCOL = "/waggle/twin/1"
DOMAIN = b"waggle/1/twin/"
DRAWN_BYTES = 16
MAX_BYTES = 512
MAX_ADDRESSES = 8
ASK_SECONDS = 3.0
LEAST_PAUSE, MOST_PAUSE = 2.0, 600.0
"""Seconds between two looks; doubled while nobody is found, since old adverts may come again and again."""

WE_END = (
    "another node with this node's key was started before it and still runs: "
    "stop that one, or give this one another --name or --home"
)
THEY_END = "another node was started under this node's key, and was told to end: give each node a folder of its own"

log = logging.getLogger(__name__)


class Start(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, order=True):
    """One start of a node: its date in milliseconds since 1970, and a number drawn then, which tells two apart."""

    at: Annotated[int, Meta(ge=0, le=2**53)]
    drawn: Annotated[bytes, Meta(min_length=DRAWN_BYTES, max_length=DRAWN_BYTES)]


class Claim(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """We have the same key and started then; signed together with what the hearer drew, so that it serves once."""

    start: Start
    signature: Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]


@asynccontextmanager
async def _somebody() -> AsyncIterator[Transport]:
    async with passer_by() as (transport, _):
        yield transport


class Twins:
    """Looks after one node: `serve` and `run` it, tell it every `sight`; `fault` says why the node has to end."""

    def __init__(
        self,
        key: NodeKey,
        *,
        note: Callable[[str], None],
        end: Callable[[], None],
        look_as: Callable[[], AbstractAsyncContextManager[Transport]] = _somebody,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """See nobody yet.

        Args:
            key: the node's own.
            note: told what the node's owner should know.
            end: called once where this node has to end.
            look_as: a transport under another identity.
            wall: the date in seconds since 1970.
        """
        self._key = key
        self._note = note
        self._end = end
        self._look_as = look_as
        self.start = Start(round(wall() * 1000), secrets.token_bytes(DRAWN_BYTES))
        self.fault: UsageError | None = None
        self._sighted: Sequence[str] = ()
        self._news = asyncio.Event()

    async def serve(self, transport: Transport) -> None:
        """Answer those who look for us, from now on."""
        await transport.serve_calls(PROTOCOL, self._answer)

    def sight(self, addresses: Sequence[str]) -> None:
        """Somebody who signs with our key says to be there."""
        self._sighted = addresses[:MAX_ADDRESSES]
        self._news.set()

    async def run(self) -> None:
        """Look whenever there is a sign, until cancelled or at our end."""
        pause = LEAST_PAUSE
        while self.fault is None:
            await self._news.wait()
            self._news.clear()
            found = await self._look(self._sighted)
            pause = LEAST_PAUSE if found else min(2 * pause, MOST_PAUSE)
            await asyncio.sleep(pause)

    async def _look(self, addresses: Sequence[str]) -> bool:
        """Ask at every address; whether a twin was found. Who answers may be ourselves, at an old address."""
        try:
            async with self._look_as() as transport:
                for address in addresses:
                    other = await self._ask(transport, address)
                    if other is not None and other != self.start:
                        await self._settle(transport, other)
                        return True
                    with suppress(MeshError):
                        await transport.disconnect(self._key.node_id)
        except (WaggleError, OSError):
            log.debug("no look at a sign of a twin")
        return False

    async def _ask(self, transport: Transport, address: str) -> Start | None:
        """The start of the node with our key there; None where none answers."""
        node = self._key.node_id
        try:
            await transport.connect([address], seconds=ASK_SECONDS)
            reply = await transport.call(node, PROTOCOL, b"", seconds=ASK_SECONDS)
            return decode_as(Start, reply, MAX_BYTES, sender=node)
        except (MeshError, RemoteProtocolError, UsageError):
            return None

    async def _settle(self, transport: Transport, other: Start) -> None:
        """One of us two has to end, and both are to know."""
        if self.start < other:
            self._note(THEY_END)
        claim = Claim(self.start, self._key.sign(_signed(other, self.start)))
        with suppress(MeshError, RemoteProtocolError):
            await transport.call(self._key.node_id, PROTOCOL, encode(claim, MAX_BYTES), seconds=ASK_SECONDS)
        if other < self.start:
            self._yield()

    async def _answer(self, caller: NodeId, request: bytes) -> bytes:
        """Say when we started; or hear that a twin started earlier, or later."""
        if not request:
            return encode(self.start, MAX_BYTES)
        claim = decode_as(Claim, request, MAX_BYTES, sender=caller)
        if not verify(self._key.node_id, claim.signature, _signed(self.start, claim.start)):
            raise RemoteProtocolError(f"{caller}: a claim that this node's key did not sign for this start")
        if claim.start < self.start:
            self._yield()
        elif self.start < claim.start:
            self._note(THEY_END)
        return b""

    def _yield(self) -> None:
        if self.fault is None:
            log.error("%s", WE_END)
            self.fault = UsageError(WE_END)
            self._end()


def _signed(hearer: Start, speaker: Start) -> bytes:
    return DOMAIN + encode(hearer, MAX_BYTES) + encode(speaker, MAX_BYTES)
