"""Who has what is wanted: asks peers for their lists and settles on one manifest."""

import asyncio
import re
from collections.abc import Sequence

from msgspec import Struct

from waggle.core.errors import MeshError, RemoteProtocolError, UsageError
from waggle.core.ids import NodeId
from waggle.core.words import amount, many
from waggle.mesh.files.fetching.pull import Dropped
from waggle.mesh.files.fetching.source import Source, SourceLost
from waggle.mesh.files.formats import name_fault
from waggle.mesh.files.manifest import Manifest, decode_manifest
from waggle.mesh.files.wire import Listed
from waggle.mesh.transport import Transport

MAX_ASKED = 64
"""Peers whose lists are looked at."""
LISTS_AT_ONCE = 16
GRACE_SECONDS = 3.0
"""How long others may still answer once somebody has what is wanted."""
MAX_CHOICES = 10
MAX_NAMES = 20
"""Of what else is shared, named where nobody has what is wanted."""


class Offer(Struct, frozen=True, kw_only=True):
    """A manifest, and the peers that say they have it."""

    manifest: str
    peers: tuple[NodeId, ...]


def is_manifest(wanted: str) -> bool:
    """Whether this is a manifest's address rather than a model's name."""
    return re.fullmatch(r"[0-9a-f]{64}", wanted) is not None


def read_wanted(wanted: str) -> str:
    """A model's name or a manifest's address as a person types it. Raises UsageError where it is neither."""
    wanted = wanted.strip()
    if is_manifest(wanted.lower()):
        return wanted.lower()
    if (fault := name_fault(wanted)) is not None:
        raise UsageError(fault)
    return wanted


async def find_offer(transport: Transport, wanted: str, peers: Sequence[NodeId], dropped: list[Dropped]) -> Offer:
    """Ask the peers what they share.

    Args:
        transport: reaches them.
        wanted: a name or an address.
        peers: the first MAX_ASKED are asked.
        dropped: peers whose lists broke a rule are added.

    Raises:
        UsageError: several manifests have this name; the text lists them.
        MeshError: nobody has it; the text names what else is shared.
    """
    survey = _Survey(transport, wanted)
    await survey.run(list(dict.fromkeys(peers))[:MAX_ASKED])
    dropped.extend(survey.bad)
    return survey.offer()


class _Survey:
    """Asks peers for their lists, some at a time. Once one has it, the silent ones hold us up only GRACE_SECONDS."""

    def __init__(self, transport: Transport, wanted: str) -> None:
        self.bad: list[Dropped] = []
        self._transport, self._wanted = transport, wanted
        self._asked: list[NodeId] = []
        self._answered = 0
        self._found: dict[str, list[NodeId]] = {}
        self._sizes: dict[str, int] = {}
        self._names: set[str] = set()
        self._any = asyncio.Event()

    async def run(self, peers: list[NodeId]) -> None:
        """A silent peer takes LIST_TRIES * LIST_SECONDS."""
        self._asked, limit = peers, asyncio.Semaphore(LISTS_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._ask(peer, limit)) for peer in peers]
            hurry = group.create_task(self._hurry(tasks))
            if tasks:
                await asyncio.wait(tasks)
            hurry.cancel()

    async def _hurry(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        await self._any.wait()
        await asyncio.sleep(GRACE_SECONDS)
        for task in tasks:
            task.cancel()

    async def _ask(self, peer: NodeId, limit: asyncio.Semaphore) -> None:
        try:
            async with limit:
                listing = await Source(self._transport, peer).listing()
        except RemoteProtocolError as error:
            self.bad.append(Dropped(peer=peer, reason=str(error), bad=True))
        except MeshError:
            return
        else:
            self._names.update(one.name for one in listing.shared)
            for manifest, size in {one.manifest: one.size for one in listing.shared if self._is_wanted(one)}.items():
                self._found.setdefault(manifest, []).append(peer)
                self._sizes.setdefault(manifest, size)
                self._any.set()
        self._answered += 1

    def _is_wanted(self, listed: Listed) -> bool:
        return self._wanted in (listed.name, listed.manifest)

    def offer(self) -> Offer:
        """The one manifest that was found. Raises UsageError, MeshError as `find_offer`."""
        match list(self._found):
            case [manifest]:
                having = self._found[manifest]
                return Offer(manifest=manifest, peers=tuple(peer for peer in self._asked if peer in having))
            case []:
                raise MeshError(f"nobody shares {self._wanted}: {self._whom()}; {self._others()}")
            case several:
                raise UsageError(self._choices(several))

    def _whom(self) -> str:
        """How many were asked, and how many of those said nothing."""
        asked = len(self._asked)
        silent, told = asked - self._answered, f"asked {many(asked, 'peer')}"
        if not asked:
            return "there is no peer to ask"
        if not silent:
            return told
        return f"{told}, {'which' if asked == 1 else f'{silent} of them'} did not answer"

    def _others(self) -> str:
        """What there is instead."""
        if not self._names:
            return "nothing else is shared"
        more = len(self._names) - MAX_NAMES
        return f"shared are {', '.join(sorted(self._names)[:MAX_NAMES])}" + (f" and {more} more" if more > 0 else "")

    def _choices(self, manifests: list[str]) -> str:
        rows = sorted(manifests, key=lambda manifest: (-len(self._found[manifest]), manifest))[:MAX_CHOICES]
        told = "\n".join(f"  {row}  {amount(self._sizes[row])}, shared by {len(self._found[row])}" for row in rows)
        return (
            f"{len(manifests)} different models are shared as {self._wanted!r}; "
            f"fetch one of them by its address:\n{told}"
        )


async def read_manifest(transport: Transport, offer: Offer, wanted: str, dropped: list[Dropped]) -> bytes:
    """The offered manifest's bytes, from the first peer that has it; it keeps all rules and has the wanted name.

    Raises:
        RemoteProtocolError: these are the bytes, but they break a rule.
        MeshError: no peer gave it.
    """
    for peer in offer.peers:
        try:
            encoded = await Source(transport, peer).manifest(offer.manifest)
        except RemoteProtocolError as error:
            dropped.append(Dropped(peer=peer, reason=str(error), bad=True))
        except SourceLost as error:
            dropped.append(Dropped(peer=peer, reason=str(error)))
        else:
            _check_name(decode_manifest(encoded), wanted)
            return encoded
    reasons = "; ".join(f"{one.peer} {one.reason}" for one in dropped[-3:])
    raise MeshError(f"nobody who lists {wanted} gives its manifest ({reasons})")


def _check_name(manifest: Manifest, wanted: str) -> None:
    if not is_manifest(wanted) and manifest.name != wanted:
        raise RemoteProtocolError(f"what peers share as {wanted!r} calls itself {manifest.name!r}: refused")
