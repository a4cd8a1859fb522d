"""Spreads adverts: two nodes compare their directories and trade what differs; news is passed on at once.

A comparison where nothing differs is one call with 2 KiB. Otherwise heads of the differing buckets follow, then trades
of at most 48 KiB each, both ways. News (a new author, another start, other content, a farewell) goes to three nodes by
chance, which pass it on if it was new to them. A mere renewal of an advert travels by comparison alone.

What a peer sends is read, judged and verified as a whole before anything is taken: one forged advert in a message and
nothing of it counts. Hidden addresses that could not have come over the peer's link are left out.
"""

import asyncio
import re
from collections.abc import Callable, Iterable
from random import Random

from waggle.core.errors import MeshError, PeerRefused, RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.mesh.adverts.directory import Directory, Verdict
from waggle.mesh.adverts.signed import AdvertReader, OpenAdvert, SignedAdvert, find_clock_fault, within
from waggle.mesh.adverts.summaries import (
    BUCKETS,
    MAX_KEYS,
    key_of,
    pack_heads,
    pack_keys,
    pack_sums,
    unpack_heads,
    unpack_keys,
    unpack_sums,
)
from waggle.mesh.limits import RELAYED_PIECE_BYTES
from waggle.mesh.liveness.dialing import Dialer
from waggle.mesh.liveness.pace import Rates
from waggle.mesh.members.messages import (
    COMPARE_PROTOCOL,
    MAX_MESSAGE_BYTES,
    MAX_NEWS,
    NEWS_PROTOCOL,
    TRADE_PROTOCOL,
    Compare,
    Compared,
    News,
    Trade,
    Traded,
    pack_buckets,
    unpack_buckets,
)
from waggle.mesh.packing import decode_as, encode

MAX_TRADES = 8
"""Trades that follow one comparison; the next comparison goes on from there."""
NEWS_FANOUT = 3
MAX_WAITING_NEWS = 256
"""News waiting to be passed on; beyond, it travels by comparison."""
ADVERTS_PER_SECOND = 64.0
ADVERTS_AT_ONCE = 512.0
"""What one peer may make us verify."""
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Gossip:
    """One node's side of the exchange."""

    def __init__(
        self,
        directory: Directory,
        dialer: Dialer,
        reader: AdvertReader,
        *,
        wall: Callable[[], float],
        rng: Random,
        on_advert: Callable[[OpenAdvert, Verdict], None],
        on_own: Callable[[OpenAdvert], None],
        on_refusal: Callable[[str], None],
    ) -> None:
        """Exchange nothing yet.

        Args:
            directory: what is compared and filled.
            dialer: the way to nodes.
            reader: reads and verifies adverts.
            wall: our date, seconds since 1970.
            rng: for choices.
            on_advert: told of every advert that was taken.
            on_own: told of an advert under our own key that is newer than ours.
            on_refusal: told why a peer did not take our own advert.
        """
        self._directory = directory
        self._dialer = dialer
        self._reader = reader
        self._wall = wall
        self._rng = rng
        self._on_advert = on_advert
        self._on_own = on_own
        self._on_refusal = on_refusal
        self._rates = Rates(per_second=ADVERTS_PER_SECOND, burst=ADVERTS_AT_ONCE)
        self._news: dict[NodeId, NodeId] = {}  # author to who brought it

    # --- asking ------------------------------------------------------------------------------------------------------

    async def exchange(self, node: NodeId, *, seconds: float) -> None:
        """Bring our directory and a node's together, as far as some messages go.

        Raises:
            MeshError, RemoteProtocolError: the peer could not or did not do its part in time.
        """
        holdings = self._directory.holdings
        scope = await self._dialer.ready(node, seconds=seconds)
        sums = b"" if self._directory.is_partial else pack_sums(holdings.sums(scope))
        request = encode(Compare(self._directory.network, sums), MAX_MESSAGE_BYTES)
        reply = await self._dialer.call(node, COMPARE_PROTOCOL, request, seconds=seconds)
        compared = decode_as(Compared, reply, MAX_MESSAGE_BYTES, sender=node)
        if compared.network != self._directory.network:
            raise PeerRefused(
                f"{node} belongs to the network {compared.network!r}, we to {self._directory.network!r}: "
                f"say {_way_into(compared.network)}, or copy the whole invite"
            )
        theirs = {head.key: head for head in unpack_heads(compared.heads)}
        wanted = [head.key for head in theirs.values() if self._directory.lacks(head, node)]
        given = holdings.ahead_of(theirs, unpack_buckets(compared.buckets), scope)
        await self._trade(node, given, wanted, seconds)

    async def _trade(self, node: NodeId, given: list[int], wanted: list[int], seconds: float) -> None:
        for _ in range(MAX_TRADES):
            if not given and not wanted:
                return
            scope = await self._dialer.scope_of(node)
            adverts, given = self._directory.holdings.take(given, scope, RELAYED_PIECE_BYTES)
            request = encode(Trade(tuple(adverts), pack_keys(wanted[:MAX_KEYS])), MAX_MESSAGE_BYTES)
            reply = await self._dialer.call(node, TRADE_PROTOCOL, request, seconds=seconds)
            traded = decode_as(Traded, reply, MAX_MESSAGE_BYTES, sender=node)
            if traded.refusal:
                self._on_refusal(traded.refusal)
            came = await self.take_in(traded.adverts, node)
            wanted = [key for key in wanted if key not in came] if came else []

    # --- being asked -------------------------------------------------------------------------------------------------

    async def serve_compare(self, caller: NodeId, request: bytes) -> bytes:
        """Show the heads of the buckets that differ."""
        compare = decode_as(Compare, request, MAX_MESSAGE_BYTES, sender=caller)
        holdings, network = self._directory.holdings, self._directory.network
        if compare.network != network:
            return encode(Compared(network, b"", b""), MAX_MESSAGE_BYTES)
        scope = await self._dialer.scope_of(caller)
        ours = holdings.sums(scope)
        theirs = unpack_sums(compare.sums) if compare.sums else None
        differing = [number for number in range(BUCKETS) if theirs is None or ours[number] != theirs[number]]
        self._rng.shuffle(differing)
        heads, covered = holdings.heads(differing, scope)
        return encode(Compared(network, pack_buckets(covered), pack_heads(heads)), MAX_MESSAGE_BYTES)

    async def serve_trade(self, caller: NodeId, request: bytes) -> bytes:
        """Take what was brought, give what was asked for."""
        trade = decode_as(Trade, request, MAX_MESSAGE_BYTES, sender=caller)
        wanted = unpack_keys(trade.wanted)
        await self.take_in(trade.adverts, caller)
        scope = await self._dialer.scope_of(caller)
        adverts, _ = self._directory.holdings.take(wanted, scope, RELAYED_PIECE_BYTES)
        return encode(Traded(tuple(adverts), self._refusal(trade.adverts, caller)), MAX_MESSAGE_BYTES)

    async def serve_news(self, caller: NodeId, request: bytes) -> bytes:
        """Take it and pass on what was new."""
        news = decode_as(News, request, MAX_MESSAGE_BYTES, sender=caller)
        await self.take_in(news.adverts, caller)
        return b""

    def _refusal(self, adverts: Iterable[SignedAdvert], caller: NodeId) -> str:
        """Why the caller's own advert was not taken, for its owner to read."""
        for signed in adverts:
            advert = self._reader.read(signed, caller).advert
            if advert.node == caller:
                return (find_clock_fault(advert, self._wall()) or "")[:256]
        return ""

    # --- taking in ---------------------------------------------------------------------------------------------------

    async def take_in(self, adverts: Iterable[SignedAdvert], introducer: NodeId) -> set[int]:
        """Judge, verify and take what a peer brought; gives the keys of the authors that were in it.

        Raises:
            RemoteProtocolError: something in it is malformed or forged; nothing was taken.
        """
        now, wall = asyncio.get_running_loop().time(), self._wall()
        scope = await self._dialer.scope_of(introducer)
        opened = [within(self._reader.read(signed, introducer), scope) for signed in adverts]
        welcome = [advert for advert in opened if self._is_welcome(advert, introducer, now, wall)]
        for advert in welcome:
            self._reader.check(advert, introducer)
        for advert in welcome:
            self._take(advert, introducer, now, wall)
        return {key_of(advert.advert.node) for advert in opened}

    def _is_welcome(self, advert: OpenAdvert, introducer: NodeId, now: float, wall: float) -> bool:
        verdict = self._directory.judge(advert, introducer, now=now, wall=wall)
        wanted = verdict.accepted or verdict is Verdict.WRONG_DATE or self._is_ours(advert)
        return wanted and self._rates.allow(introducer, now)

    def _is_ours(self, advert: OpenAdvert) -> bool:
        own = self._directory.entry(self._directory.node)
        return own is not None and advert.advert.node == own.author and advert.rank > own.advert.rank

    def _take(self, advert: OpenAdvert, introducer: NodeId, now: float, wall: float) -> None:
        if self._is_ours(advert):
            self._on_own(advert)
            return
        verdict = self._directory.add(advert, introducer, now=now, wall=wall)
        if verdict is Verdict.NEWS:
            self.announce(advert.advert.node, introducer)
        if verdict.accepted:
            self._on_advert(advert, verdict)

    # --- news --------------------------------------------------------------------------------------------------------

    def announce(self, author: NodeId, introducer: NodeId) -> None:
        """Pass an author's advert on with the next news, not back to who brought it."""
        if len(self._news) < MAX_WAITING_NEWS:
            self._news[author] = introducer

    @property
    def has_news(self) -> bool:
        """Whether news waits to be passed on."""
        return bool(self._news)

    def next_news(self) -> dict[NodeId, NodeId]:
        """Take the oldest waiting news: authors and who brought each."""
        batch = dict(list(self._news.items())[:MAX_NEWS])
        for author in batch:
            del self._news[author]
        return batch

    async def tell(self, node: NodeId, authors: Iterable[NodeId], *, seconds: float) -> None:
        """Send adverts to a node; whether they arrive does not matter, others get them too."""
        keys = [key_of(author) for author in authors if author != node]
        try:
            scope = await self._dialer.ready(node, seconds=seconds)
            adverts, _ = self._directory.holdings.take(keys, scope, RELAYED_PIECE_BYTES)
            if adverts:
                request = encode(News(tuple(adverts)), MAX_MESSAGE_BYTES)
                await self._dialer.call(node, NEWS_PROTOCOL, request, seconds=seconds)
        except (MeshError, RemoteProtocolError):
            return


def _way_into(network: str) -> str:
    """The option to give; what is no name of a network is not put into a command."""
    return f"--network {network}" if PLAIN_NAME.fullmatch(network) else "--network with its name"
