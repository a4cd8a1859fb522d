"""Uses a running swarm from outside, over libp2p, with an identity that lasts as long as the question or the fetch."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from waggle.core.errors import MeshError
from waggle.core.ids import NodeId
from waggle.core.round_values import Record
from waggle.mesh.files.fetching.fetch import Fetched, Progress, fetch
from waggle.mesh.files.store import FileStore
from waggle.mesh.libp2p.settings import Settings
from waggle.mesh.libp2p.transport import Libp2pTransport, start_libp2p
from waggle.mesh.members.visit import Visitor
from waggle.node.client import Client, request_of
from waggle.node.planning import AskOptions, check_question
from waggle.node.runner import Watch
from waggle.trust.keys import NodeKey

MAX_SOURCES = 16


@asynccontextmanager
async def passer_by() -> AsyncIterator[tuple[Libp2pTransport, NodeKey]]:
    """A transport that only dials, under a key made for the occasion."""
    with TemporaryDirectory(prefix="waggle-") as folder:
        path = Path(folder) / "key"
        key = NodeKey.load_or_create(path)
        transport = await start_libp2p(Settings(key_path=path, listen=()))
        try:
            yield transport, key
        finally:
            await transport.close()


async def ask_via(
    invites: Sequence[Sequence[str]], network: str, question: str, options: AskOptions, watch: Watch | None = None
) -> Record:
    """Ask a swarm that others run.

    Args:
        invites: the multiaddrs of one node each; one that answers is enough.

    Raises:
        UsageError: the question is no text that can be asked. MeshError: nobody answers in time.
        EngineUnavailable: the swarm says why it cannot answer.
    """
    check_question(question)
    async with passer_by() as (transport, key):
        visitor = Visitor(transport, network)
        first = await visitor.visit(invites)
        client = Client(transport, key, visitor.reach)
        return await client.ask(_in_order(first, visitor), request_of(question, options), watch)


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
        first = await visitor.visit(invites)

        async def sources() -> list[NodeId]:
            return await _sharers(visitor, first, model)

        store = FileStore(root)
        return await fetch(transport, store, model, sources, progress=progress, share=False)


async def _sharers(visitor: Visitor, first: NodeId, model: str) -> list[NodeId]:
    """Those whose adverts name the model and who can be reached; the node we know in any case."""
    named = [
        advert.node
        for advert in visitor.adverts()
        if advert.node != first and any(model in (shared.name, shared.manifest) for shared in advert.shared)
    ]
    reached = [first]
    for node in named[:MAX_SOURCES]:
        with suppress(MeshError):
            await visitor.reach(node)
            reached.append(node)
    return reached
