"""What a node keeps from one start to the next: the ports it listened on, and where its last peers were.

Ports, so that old invites to it stay good; peers, so that it finds its swarm again without an invite. Only who answered
it is kept, few of them, and those longest who have been here longest. Nobody else can be met at a peer's address: a
link needs the key that the address names.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from waggle.core.errors import UsageError
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Peer
from waggle.mesh.addresses import MAX_ADDRESS_LENGTH, Scope, fit_addresses, parse_address, parse_place
from waggle.mesh.libp2p.settings import with_ports
from waggle.mesh.members.membership import Membership
from waggle.node.home.files import read_json, replace_file

log = logging.getLogger(__name__)

MOST_PEERS = 32
MOST_BYTES = 256 * 1024
PORT_SECONDS, PORT_PAUSE = 3.0, 0.1
"""A killed node's daemon holds the port a moment longer."""
PAUSE_SECONDS, LOOK_SECONDS = 1.0, 60.0
DIALLED_AT_ONCE = 8
FIRST_PAUSE, LONGEST_PAUSE = 6.0, 60.0
"""Seconds between two attempts, a little more than one may take; doubled with every one that finds nobody."""

Text = Annotated[str, Meta(max_length=MAX_ADDRESS_LENGTH)]
Texts = Annotated[tuple[Text, ...], Meta(max_length=64)]


class Whereabouts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Multiaddrs: those listened on, and of every peer of `network` its own."""

    network: Annotated[str, Meta(max_length=64)] = ""
    listen: Texts = ()
    peers: Annotated[tuple[Texts, ...], Meta(max_length=MOST_PEERS)] = ()


class Memory:
    """A node's whereabouts in a file of its folder. A file that is damaged or cannot be written costs only itself."""

    def __init__(self, path: Path | None, network: str, node: NodeId) -> None:
        """Read the file, where one is to be kept; peers of another network are left aside."""
        self._path = path
        self._node = node
        found = _read(path) if path else Whereabouts()
        peers = tuple(_sound(found.peers, node)) if found.network == network else ()
        self.now = Whereabouts(network=network, listen=found.listen, peers=peers)

    async def listen_again(self, wanted: Sequence[str]) -> tuple[str, ...]:
        """The addresses that are wanted, with the ports of last time where those are free."""
        again = tuple(_with_last_port(text, self.now.listen) for text in wanted)
        with suppress(TimeoutError):
            async with asyncio.timeout(PORT_SECONDS):
                while not all(map(_is_free, again)):  # noqa: ASYNC110 - ports do not tell
                    await asyncio.sleep(PORT_PAUSE)
        return tuple(map(_free_or_any, wanted, again))

    def keep_ports(self, listen: Sequence[str]) -> None:
        """Listen there again at the next start."""
        self._keep(replace(self.now, listen=tuple(listen)))

    def keep_peers(self, usable: Sequence[Peer]) -> None:
        """These answer now."""
        seen = {peer.node: peer.advert.addresses for peer in usable}
        self._keep(replace(self.now, peers=_merged(self.now.peers, seen, self._node)))

    def _keep(self, now: Whereabouts) -> None:
        if now == self.now:
            return
        self.now = now
        if self._path is None:
            return
        try:
            replace_file(self._path, msgspec.json.encode(now), private=True)
        except UsageError as error:
            log.warning("peers and ports are not kept: %s", error)

    @asynccontextmanager
    async def followed(self, membership: Membership) -> AsyncIterator[None]:
        """While the block runs: go back to the last peers where there is nobody, and note who is usable."""
        tasks = [
            asyncio.create_task(self._go_back(membership), name="going back to the last peers"),
            asyncio.create_task(self._note(membership), name="noting the last peers"),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _go_back(self, membership: Membership) -> None:
        """Whenever nobody else is known, try some at a time, in turn."""
        pause = FIRST_PAUSE
        waiting: list[tuple[str, ...]] = []
        while True:
            if membership.peers():
                pause, waiting = FIRST_PAUSE, []
                await _until_changed(membership)
                continue
            waiting = waiting or list(self.now.peers)
            some, waiting = waiting[:DIALLED_AT_ONCE], waiting[DIALLED_AT_ONCE:]
            for addresses in some:
                membership.meet(addresses)
            await asyncio.sleep(pause)
            pause = pause if waiting else min(2 * pause, LONGEST_PAUSE)

    async def _note(self, membership: Membership) -> None:
        while True:
            self.keep_peers(membership.usable())
            await _until_changed(membership)


async def _until_changed(membership: Membership) -> None:
    """And a little longer: changes come in swarms."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LOOK_SECONDS):
            await membership.changed()
    await asyncio.sleep(PAUSE_SECONDS)


def _read(path: Path) -> Whereabouts:
    if not path.exists():
        return Whereabouts()
    try:
        return read_json(path, Whereabouts, name="list of ports and peers", most_bytes=MOST_BYTES)
    except UsageError as error:
        log.warning("the ports and peers of last time are forgotten: %s", error)
        return Whereabouts()


def _sound(peers: Sequence[Sequence[str]], own: NodeId) -> Iterator[tuple[str, ...]]:
    """Of each peer the addresses that may be dialled and are its own."""
    for texts in peers:
        with suppress(UsageError, IndexError):
            node = parse_address(texts[0]).peer
            if node != own and (fit := fit_addresses(texts, node, nearest=Scope.LOOPBACK)):
                yield tuple(fit)


def _merged(
    before: Sequence[tuple[str, ...]], seen: dict[NodeId, tuple[str, ...]], own: NodeId
) -> tuple[tuple[str, ...], ...]:
    """Who was known and is here, then who is new, then who was known and is away: the first MOST_PEERS."""
    known = {parse_address(texts[0]).peer: texts for texts in before}
    here = [seen[node] for node in known if node in seen]
    new = [texts for node, texts in seen.items() if node not in known]
    away = [texts for node, texts in known.items() if node not in seen]
    return tuple(_sound([*here, *new, *away], own))[:MOST_PEERS]


def _with_last_port(wanted: str, last: Sequence[str]) -> str:
    """The address of last time that differs from the wanted one in its port alone, where there is one."""
    for text in last:
        with suppress(UsageError, IndexError, ValueError):
            if str(parse_place(text).with_port(0)) == wanted:
                return str(parse_place(text))
    return wanted


def _is_free(text: str) -> bool:
    try:
        return bool(with_ports([text]))
    except UsageError:
        return False


def _free_or_any(wanted: str, again: str) -> str:
    if _is_free(again):
        return again
    port = parse_place(again).port
    log.warning("port %d of last time is taken, so another one is used: old invites to this node do not work", port)
    return wanted
