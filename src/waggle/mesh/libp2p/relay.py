"""A node that relays for others: it tests itself at its start, and starts again until it is fit.

A libp2p daemon that relays starts two relay services, and which of them holds is a race: the one with our limits, or
one that cuts every link after 128 KiB. On 2 cores 9 of 10 starts came up wrong, 0 of 10 with the daemon kept to one
thread (`p2pd.process` does that). From outside one cannot tell them apart, so a relay still pushes 1 MiB through itself
before anybody relies on it, and starts its daemon again if that does not get through.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from waggle.core.errors import MeshError, PeerUnreachable, RemoteProtocolError, UsageError
from waggle.core.ids import NodeId
from waggle.mesh.addresses import parse_place
from waggle.mesh.libp2p.p2pd.scratch import scratch_folder
from waggle.mesh.libp2p.settings import Settings, with_ports
from waggle.mesh.libp2p.transport import Libp2pTransport, start_libp2p
from waggle.mesh.limits import MIB
from waggle.mesh.transport import Transport

TEST_BYTES = 1 * MIB
"""Eight times what the wrong service lets through."""

TEST_PROTOCOL = "/waggle/relay-test/1"
TEST_SECONDS = 10.0
"""How long a transfer may take that takes a tenth of a second on an idle machine."""

DIAL_PAUSE_SECONDS = 0.2
MAX_STARTS = 8
"""Starts after which a node gives up relaying."""

ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
LOGGER = logging.getLogger(__name__)


class RelayCheck(Struct, frozen=True):
    """What came of one test of a relay; `reason` is empty where it is healthy."""

    healthy: bool
    seconds: float
    reason: str = ""


class RelayReport(Struct, frozen=True):
    """How a relay came up: the test of every start, the last one deciding."""

    checks: tuple[RelayCheck, ...]

    @property
    def healthy(self) -> bool:
        """Whether it relays now."""
        return self.checks[-1].healthy

    @property
    def starts(self) -> int:
        """How often its daemon was started and tested."""
        return len(self.checks)


Check = Callable[[Sequence[str]], Awaitable[RelayCheck]]


async def start_relay(
    settings: Settings, *, max_starts: int = MAX_STARTS, check: Check | None = None
) -> tuple[Libp2pTransport, RelayReport]:
    """Start a node that relays for others, as soon as a start of its daemon passes the test.

    Args:
        settings: as for `start_libp2p`, listening somewhere; ports 0 are chosen once for all starts.
        max_starts: after that many failed ones the node runs without relaying, and the report says so.
        check: the test, given the relay's addresses; `check_relay` unless told otherwise.

    Raises:
        UsageError: it listens nowhere, or as `start_libp2p`.
        PeerUnreachable: as `start_libp2p`.
    """
    if not settings.listen:
        raise UsageError("a node that listens nowhere cannot relay: give it an address to listen on")
    checks: list[RelayCheck] = []
    settings = msgspec.structs.replace(
        settings, listen=with_ports(settings.listen), serve_as_relay=True, reachability="public"
    )
    while len(checks) < max_starts:
        transport = await start_libp2p(settings)
        try:
            checks.append(await (check or check_relay)(near_addresses(settings, transport.node_id)))
        except BaseException:
            await transport.close()
            raise
        if checks[-1].healthy:
            return transport, RelayReport(tuple(checks))
        LOGGER.warning("this relay came up unfit, starting it again: %s", checks[-1].reason)
        await transport.close()
    transport = await start_libp2p(msgspec.structs.replace(settings, serve_as_relay=False))
    return transport, RelayReport(tuple(checks))


def near_addresses(settings: Settings, node: NodeId) -> tuple[str, ...]:
    """Where a node of this machine can be dialled from this machine; its ports have to be known."""
    places = map(parse_place, settings.listen)
    texts = [str(place).replace(f"/{place.host}/", f"/{ANYWHERE.get(place.host, place.host)}/", 1) for place in places]
    return tuple(f"{text}/p2p/{node}" for text in texts)


async def check_relay(addresses: Sequence[str]) -> RelayCheck:
    """Push TEST_BYTES there and back through a relay, between two nodes made for it; takes 1-2 s.

    Args:
        addresses: where the relay can be dialled, each ending in its `/p2p/<id>`; the first is used.

    Returns:
        Whether all of it came back intact within TEST_SECONDS; if not, why.

    Raises:
        PeerUnreachable: the two nodes did not start: a fault of this machine, not of the relay.
    """
    began = asyncio.get_running_loop().time()
    with scratch_folder() as folder:
        async with _test_node(folder, "a", addresses[:1]) as a, _test_node(folder, "b") as b:
            await a.serve_calls(TEST_PROTOCOL, _echo)
            reason = await _push_through(b, a.node_id, addresses[0])
    return RelayCheck(not reason, asyncio.get_running_loop().time() - began, reason)


@asynccontextmanager
async def _test_node(folder: Path, name: str, relays: Sequence[str] = ()) -> AsyncIterator[Libp2pTransport]:
    """A node that listens nowhere, so that it can be reached through relays only."""
    transport = await start_libp2p(Settings(
        key_path=folder / f"{name}.key", listen=(), relays=tuple(relays), reachability="private", run_dir=folder / name,
    ))  # fmt: skip
    try:
        yield transport
    finally:
        await transport.close()


async def _echo(_: NodeId, request: bytes) -> bytes:
    return request


async def _push_through(transport: Transport, peer: NodeId, relay: str) -> str:
    """What went wrong, in words; empty if nothing did."""
    sent = os.urandom(TEST_BYTES)
    try:
        async with asyncio.timeout(TEST_SECONDS):
            await _dial(transport, f"{relay}/p2p-circuit/p2p/{peer}")
            returned = await transport.call(peer, TEST_PROTOCOL, sent, seconds=TEST_SECONDS)
    except TimeoutError:
        return f"it did not relay {TEST_BYTES} bytes within {TEST_SECONDS:g} s"
    except (MeshError, RemoteProtocolError) as error:
        return f"it did not relay {TEST_BYTES} bytes: {error}"
    return "" if returned == sent else "it did not relay what it was given"


async def _dial(transport: Transport, address: str) -> None:
    """Connect as soon as the other side has its reservation; waits for ever where it gets none."""
    while True:
        try:
            await transport.connect([address])
            return
        except PeerUnreachable:
            await asyncio.sleep(DIAL_PAUSE_SECONDS)
