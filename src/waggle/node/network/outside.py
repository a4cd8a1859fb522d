"""Uses a running swarm from outside, over libp2p, with an identity that lasts as long as the question or the fetch."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from waggle.core.asking import AskOptions, check_question
from waggle.core.errors import MeshError, PeerUnreachable
from waggle.core.ids import NodeId
from waggle.core.round_values import Record
from waggle.mesh.files.fetching.fetch import Fetched, Progress, fetch
from waggle.mesh.files.store import FileStore
from waggle.mesh.libp2p.p2pd.scratch import scratch_folder
from waggle.mesh.libp2p.settings import Settings
from waggle.mesh.libp2p.transport import Libp2pTransport, start_libp2p
from waggle.mesh.members.visit import Visitor
from waggle.node.peers.client import Client, request_of
from waggle.strategies.machine import Watch
from waggle.trust.keys import NodeKey

MAX_SOURCES = 16
ELSEWHERE = "If that node has ended, give another one's invite: --via takes several"


@asynccontextmanager
async def passer_by() -> AsyncIterator[tuple[Libp2pTransport, NodeKey]]:
    """A transport that only dials, under a key made for the occasion."""
    with scratch_folder() as folder:
        path = folder / "key"
        key = NodeKey.load_or_create(path)
        transport = await start_libp2p(Settings(key_path=path, listen=()))
        try:
            yield transport, key
        finally:
            await transport.close()


class Caller:
    """Asks a swarm that others run, as often as wanted; `calling` makes one."""

    def __init__(self, client: Client, visitor: Visitor, first: NodeId) -> None:
        """Ask by way of those whom the visitor knows, `first` of all."""
        self._client = client
        self._visitor = visitor
        self._first = first

    async def ask(self, question: str, options: AskOptions, watch: Watch | None = None) -> Record:
        """Answer one question.

        Raises:
            UsageError: nothing that can be asked. MeshError: nobody answers in time.
            EngineUnavailable: the swarm says why it cannot answer.
        """
        check_question(question)
        return await self._client.ask(_in_order(self._first, self._visitor), request_of(question, options), watch)


@asynccontextmanager
async def calling(invites: Sequence[Sequence[str]], network: str) -> AsyncIterator[Caller]:
    """Be at a swarm that others run, without being part of it.

    Args:
        invites: the multiaddrs of one node each; one that answers is enough.

    Raises:
        MeshError: nobody answers in time.
    """
    async with passer_by() as (transport, key):
        visitor = Visitor(transport, network)
        first = await _enter(visitor, invites)
        yield Caller(Client(transport, key, visitor.reach), visitor, first)


async def ask_via(
    invites: Sequence[Sequence[str]], network: str, question: str, options: AskOptions, watch: Watch | None = None
) -> Record:
    """Ask a swarm that others run one question; arguments and errors as those of `calling` and `Caller.ask`."""
    check_question(question)
    async with calling(invites, network) as caller:
        return await caller.ask(question, options, watch)


async def _enter(visitor: Visitor, invites: Sequence[Sequence[str]]) -> NodeId:
    """Look at the swarm; gives the node that showed it. Raises PeerUnreachable, which says what to do about it."""
    try:
        return await visitor.visit(invites)
    except PeerUnreachable as error:
        raise PeerUnreachable(f"{error}. {ELSEWHERE}") from None


def _in_order(first: NodeId, visitor: Visitor) -> list[NodeId]:
    """The node that we know to be there, then the others in any order, so that they share what comes."""
    others = [advert.node for advert in visitor.adverts() if advert.node != first]
    random.shuffle(others)
    return [first, *others]


async def fetch_via(
    invites: Sequence[Sequence[str]],
    network: str,
    root: Path,
    model: str,
    progress: Callable[[Progress], None],
) -> Fetched:
    """Fetch a model's files from a swarm that others run.

    Args:
        invites: the multiaddrs of one node each; one that answers is enough.
        root: where fetched files live.
        model: its name, or the hash of its manifest.

    Raises:
        UsageError: nobody shares it, the name means several, or the disk is full. MeshError: nobody answers.
    """
    async with passer_by() as (transport, _):
        visitor = Visitor(transport, network)
        first = await _enter(visitor, invites)

        async def sources() -> list[NodeId]:
            return await _sharers(visitor, first, model)

        store = FileStore(root)
        return await fetch(transport, store, model, sources, progress=progress, share=False)


async def _sharers(visitor: Visitor, first: NodeId, model: str) -> list[NodeId]:
    """Those whose adverts name the model, or all that share some, and who can be reached; the node we know anyway.

    An advert names the first of many models only, and who has none of that name may still tell what there is.
    """
    sharing = [advert for advert in visitor.adverts() if advert.node != first and advert.shared]
    named = [one for one in sharing if any(model in (shared.name, shared.manifest) for shared in one.shared)]
    reached = [first]
    for node in [advert.node for advert in named or sharing][:MAX_SOURCES]:
        with suppress(MeshError):
            await visitor.reach(node)
            reached.append(node)
    return reached
