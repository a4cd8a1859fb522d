"""Runs one node of this machine from its home until it is told to stop: key, lock, network, control socket."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from waggle.core.errors import MeshError, UsageError
from waggle.core.ids import NodeId
from waggle.engines.protocol import Engine
from waggle.mesh.files.store import FileStore
from waggle.mesh.invite import Invite, format_invite
from waggle.mesh.lan.multicast import Multicast
from waggle.mesh.libp2p.direct import DirectSeeker
from waggle.mesh.libp2p.relay import start_relay
from waggle.mesh.libp2p.settings import Settings as Libp2pSettings
from waggle.mesh.libp2p.transport import Libp2pTransport, start_libp2p
from waggle.mesh.members.visit import Visitor
from waggle.node.calibration import Calibration
from waggle.node.config.settings import EVERYWHERE, Settings
from waggle.node.control.server import ControlServer
from waggle.node.home import NodeHome, RunInfo
from waggle.node.local_control import LocalControl
from waggle.node.mesh_node import MeshNode, NodeOptions, make_node
from waggle.node.mesh_swarm import CommitteeSize
from waggle.node.neighbours import log_neighbours
from waggle.node.outside import passer_by
from waggle.trust.keys import NodeKey

log = logging.getLogger(__name__)

TWIN_SECONDS = 5.0

Beside = Callable[[MeshNode], AbstractAsyncContextManager[str]]
"""Runs something with a node; gives the URL where it serves, empty for none."""


@asynccontextmanager
async def nothing_beside(node: MeshNode) -> AsyncIterator[str]:
    """A node alone."""
    yield ""


class Ready(Struct, frozen=True, kw_only=True):
    """A node is up: what it is, with what others can join it, and which invites failed and why."""

    info: RunInfo
    invite: str
    failures: tuple[str, ...]


async def run_node(
    settings: Settings,
    invites: Sequence[Invite],
    engines: Mapping[str, Engine],
    calibration: Calibration | None,
    *,
    stop: asyncio.Event,
    ready: Callable[[Ready], None],
    beside: Beside = nothing_beside,
) -> None:
    """Run a node until `stop` is set or a command tells it to leave; says farewell to the swarm.

    Args:
        beside: what runs with the node, a gateway say; it begins before `ready` is told and ends before the farewell.

    Raises:
        UsageError: the home, the key, an address or an invite is no good, or the node runs already somewhere.
        MeshError: the network cannot be started.
    """
    home = NodeHome(settings.home, settings.name)
    async with AsyncExitStack() as stack:
        stack.enter_context(home.lock())
        is_old = home.key.exists()
        key = NodeKey.load_or_create(home.key)
        if is_old and invites:
            await refuse_a_twin(key.node_id, invites, settings.network)
        node = await _bring_up(settings, home, key, engines, calibration)
        stack.push_async_callback(node.close)
        await stack.enter_async_context(neighbourhood(node, multicast=settings.multicast))
        failures = await node.start([address for invite in invites for address in invite.addresses])
        control = LocalControl(node, stop)
        await stack.enter_async_context(ControlServer(home.control_path(), control.handle))
        async with beside(node) as url:
            info = replace(await _run_info(settings, home, node), gateway=url)
            home.publish(info)
            ready(Ready(info=info, invite=format_invite(info.addresses, settings.network), failures=failures))
            await stop.wait()
        await node.leave()


async def _bring_up(
    settings: Settings,
    home: NodeHome,
    key: NodeKey,
    engines: Mapping[str, Engine],
    calibration: Calibration | None,
) -> MeshNode:
    transport = await _start_transport(settings, home)
    try:
        return await make_node(
            key, transport, engines, _options(settings), calibration=calibration, store=FileStore(home.files)
        )
    except BaseException:
        await transport.close()
        raise


async def _start_transport(settings: Settings, home: NodeHome) -> Libp2pTransport:
    """A node that relays tests itself first, and goes on without relaying where that fails."""
    wanted = Libp2pSettings(
        key_path=home.key,
        listen=settings.listen or EVERYWHERE,
        announce=settings.announce,
        relays=settings.relays,
        port_map=settings.port_map,
    )
    if not settings.serve_as_relay:
        return await start_libp2p(wanted)
    transport, report = await start_relay(wanted)
    if not report.healthy:
        log.warning("this node does not relay: %s", report.checks[-1].reason)
    return transport


@asynccontextmanager
async def neighbourhood(node: MeshNode, *, multicast: bool) -> AsyncIterator[None]:
    """While the block runs: be found in the local network, and turn relayed links into direct ones."""
    lan = Multicast(
        node.key,
        node.transport.addresses,
        node.membership.meet,
        rng=Random(),
        wall=time.time,
        network=node.options.network,
    )
    seeker = DirectSeeker(node.transport, lambda peer: _addresses_of(node, peer), Random())
    seeking = asyncio.create_task(seeker.run(), name="seeking direct links")
    noting = asyncio.create_task(log_neighbours(node.membership.usable, node.membership.changed), name="noting nodes")
    if multicast:
        await lan.start()
    try:
        yield
    finally:
        await lan.close()
        seeking.cancel()
        noting.cancel()
        await asyncio.gather(seeking, noting, return_exceptions=True)


def _addresses_of(node: MeshNode, peer: NodeId) -> tuple[str, ...]:
    known = node.membership.peer(peer)
    return known.advert.addresses if known else ()


def _options(settings: Settings) -> NodeOptions:
    return NodeOptions(
        name=settings.name,
        network=settings.network,
        capacity=settings.capacity,
        queue=settings.queue,
        queue_per_asker=settings.queue_per_asker,
        relays=settings.serve_as_relay,
        committee=CommitteeSize(
            proposers=settings.max_nodes, judges=settings.max_nodes, hedge_factor=settings.hedge_factor
        ),
    )


async def _run_info(settings: Settings, home: NodeHome, node: MeshNode) -> RunInfo:
    return RunInfo(
        name=settings.name,
        pid=os.getpid(),
        node=node.id,
        network=settings.network,
        addresses=await node.transport.addresses(),
        control=str(home.control_path()),
        started=time.time(),
    )


async def refuse_a_twin(node: NodeId, invites: Sequence[Invite], network: str) -> None:
    """Look, under another identity, whether a node with our key is up already; nobody there to ask is no obstacle.

    Raises:
        UsageError: it is, and answers.
    """
    async with passer_by() as (transport, _):
        visitor = Visitor(transport, network)
        try:
            await visitor.visit([invite.addresses for invite in invites])
            if all(advert.node != node for advert in visitor.adverts()):
                return
            await visitor.reach(node, seconds=TWIN_SECONDS)
            await visitor.ping(node, seconds=TWIN_SECONDS)
        except MeshError:
            return
    raise UsageError(
        "a node with this key is running already, on another machine or from a copy of this folder: "
        "stop it, or give this one another --name"
    )
