"""Over real libp2p on loopback: a bundled model is shared, fetched, and answers; a source dies and another lies."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio

from tests.unit.mesh.files.swarm import MIB, make_model, same_files
from waggle.core.ids import NodeId
from waggle.engines.local.engine import load_model
from waggle.mesh.files.fetching.fetch import REQUESTS_PER_PEER, Progress, fetch
from waggle.mesh.files.serve import FileServer
from waggle.mesh.files.store import FileStore
from waggle.mesh.libp2p.settings import Settings
from waggle.mesh.libp2p.transport import Libp2pTransport, start_libp2p
from waggle.models.hive import hive_folder

pytestmark = pytest.mark.timeout(300)

Sharer = tuple[Libp2pTransport, FileServer, FileStore]
Start = Callable[[], Awaitable[Sharer]]


@pytest_asyncio.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a node with a store, that serves it."""
    nodes: list[Libp2pTransport] = []
    numbers = count()

    async def node() -> Sharer:
        folder = tmp_path / f"node{next(numbers)}"
        transport = await start_libp2p(Settings(key_path=folder / "key", run_dir=tmp_path / "r"))
        nodes.append(transport)
        store = FileStore(folder / "files")
        server = FileServer(transport, store)
        await server.start()
        return transport, server, store

    yield node
    await asyncio.gather(*(transport.close() for transport in nodes))


class Rotten(FileStore):
    """Shares the right lists and manifests, and wrong bytes."""

    def read(self, manifest: str, file: int, offset: int, length: int) -> bytes:
        return bytes(length)


async def test_a_bundled_model_is_fetched_and_loads(start: Start) -> None:
    (anna, server, theirs), (me, _, mine) = await start(), await start()
    shared = theirs.share(hive_folder("thyme"))
    peer = await me.connect(await anna.addresses())
    got = await fetch(me, mine, "thyme", [peer])
    assert (got.manifest, got.fetched_bytes, server.served_bytes) == (shared.manifest, shared.size, shared.size)
    assert same_files(got.path, hive_folder("thyme"))
    assert load_model(got.path).name == load_model(hive_folder("thyme")).name
    assert mine.shared() == theirs.shared() == (shared,)


async def test_a_source_that_dies_and_one_that_lies_do_not_stop_a_fetch(start: Start, tmp_path: Path) -> None:
    model = make_model(tmp_path / "thyme", size=48 * MIB)
    (anna, _, annas), (dies, dying, theirs), (me, _, mine) = await start(), await start(), await start()
    liar, server, lies = await start()
    server._store = Rotten(lies.root)
    for store in (annas, theirs, lies):
        store.share(model)
    peers = [await me.connect(await one.addresses()) for one in (anna, dies, liar)]
    closing: list[asyncio.Task[None]] = []
    bad: list[NodeId] = []

    def watch(progress: Progress) -> None:
        given = dying.served_bytes > (2 * REQUESTS_PER_PEER + 1) * MIB  # some of it has arrived
        if progress.phase == "fetching" and given and not closing:
            closing.append(asyncio.ensure_future(dies.close()))

    got = await fetch(me, mine, "thyme", peers, progress=watch, on_bad_peer=lambda peer, _: bad.append(peer))
    await asyncio.gather(*closing)
    assert closing
    assert same_files(got.path, model)
    assert bad == [liar.node_id]
    assert set(got.sources) == {anna.node_id, dies.node_id}
