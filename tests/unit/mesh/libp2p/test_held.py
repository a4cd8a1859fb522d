"""Places at real relays on loopback: taken without a restart, refused where they are not given."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.unit.mesh.libp2p.conftest import QUIC, StartNode
from waggle.core.errors import MeshError, PeerRefused, PeerUnreachable, UsageError
from waggle.core.ids import NodeId
from waggle.mesh.libp2p.relay import start_relay
from waggle.mesh.libp2p.settings import Settings
from waggle.mesh.libp2p.transport import Libp2pTransport
from waggle.testing.netlab.faulty import limited_relay

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROTOCOL = "/test/place"
BACK_SECONDS = 15.0


async def echo(_: NodeId, request: bytes) -> bytes:
    return request


async def circuits(node: Libp2pTransport) -> bool:
    """Whether it tells of places; it does as long as it has not got a new daemon."""
    try:
        return await node.addresses() != ()
    except MeshError:
        return True


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Libp2pTransport]:
    """A node that consents to relay; tested, since now and then the daemon comes up unfit."""
    folder = tmp_path_factory.mktemp("relay")
    transport, report = await start_relay(Settings(key_path=folder / "key", run_dir=folder / "r", listen=QUIC))
    assert report.healthy
    yield transport
    await transport.close()


async def test_a_node_that_listens_nowhere_is_reached_at_a_place_it_took_while_running(
    start_node: StartNode, relay: Libp2pTransport
) -> None:
    home, caller = await asyncio.gather(start_node(()), start_node(()))
    await home.serve_calls(PROTOCOL, echo)
    daemon = home.daemon_pid
    (address,) = await relay.addresses()
    await home.connect([address])
    await home.places.take(address)
    assert home.daemon_pid == daemon
    (circuit,) = await home.addresses()
    assert circuit == f"{address}/p2p-circuit/p2p/{home.node_id}"
    await caller.connect([circuit])
    assert await caller.call(home.node_id, PROTOCOL, b"hello") == b"hello"
    assert [link.relayed for link in await caller.links() if link.peer == home.node_id] == [True]
    home.places.leave(relay.node_id)
    assert await home.addresses() == ()


async def test_a_node_that_does_not_consent_gives_no_place(start_node: StartNode) -> None:
    home, public = await asyncio.gather(start_node(()), start_node(QUIC))
    (address,) = await public.addresses()
    await home.connect([address])
    with pytest.raises(PeerRefused, match="does not serve this"):  # not even the little that the daemon would
        await home.places.take(address)
    assert home.places.relays == frozenset()


async def test_a_relay_that_cuts_links_after_128_kib_gives_no_place_worth_having(
    start_node: StartNode, tmp_path: Path
) -> None:
    home = await start_node(())
    async with limited_relay(tmp_path) as addresses:
        await home.connect(addresses[:1])
        with pytest.raises(PeerRefused, match="cuts a link after 131072 bytes"):
            await home.places.take(addresses[0])
    assert home.places.relays == frozenset()


async def test_a_relay_that_is_not_there_gives_no_place(start_node: StartNode) -> None:
    home, public = await asyncio.gather(start_node(()), start_node(QUIC))
    (address,) = await public.addresses()
    await public.close()
    with pytest.raises(PeerUnreachable):
        await home.places.take(address)
    with pytest.raises(UsageError):
        await home.places.take("/ip4/192.0.2.1/tcp/1")


async def test_places_go_with_the_daemon(start_node: StartNode, relay: Libp2pTransport) -> None:
    home = await start_node(())
    (address,) = await relay.addresses()
    await home.connect([address])
    await home.places.take(address)
    os.kill(home.daemon_pid, signal.SIGKILL)
    async with asyncio.timeout(BACK_SECONDS):
        while await circuits(home):  # noqa: ASYNC110 - nothing in this process tells when
            await asyncio.sleep(0.05)
    assert home.places.relays == frozenset()
