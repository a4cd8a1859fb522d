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
from waggle.mesh.libp2p.p2pd.scratch import sweep
from waggle.mesh.libp2p.relay import start_relay
from waggle.mesh.libp2p.settings import Settings as Libp2pSettings
from waggle.mesh.libp2p.transport import Libp2pTransport, start_libp2p
from waggle.mesh.members.multicast import Multicast
from waggle.mesh.members.visit import Visitor
from waggle.node.calibration import Calibration
from waggle.node.config.settings import EVERYWHERE, Settings
from waggle.node.control.server import ControlServer
from waggle.node.home.home import NodeHome, RunInfo
from waggle.node.home.whereabouts import Memory
from waggle.node.network.mesh_node import MeshNode, NodeOptions, make_node
from waggle.node.network.neighbours import log_neighbours
from waggle.node.network.outside import passer_by
from waggle.node.network.reach import reach_of
from waggle.node.network.twins import Twins
from waggle.node.rounds.coordinator import CommitteeSize
from waggle.node.running.local_control import LocalControl
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
        UsageError: the home, the key, an address or an invite is no good, or the node runs already somewhere; this may
            also be found out later.
        MeshError: the network cannot be started.
    """
    home = NodeHome(settings.home, settings.name)
    async with AsyncExitStack() as stack:
        stack.enter_context(home.lock())
        is_old = home.key.exists()
        key = NodeKey.load_or_create(home.key)
        if is_old and invites:
            await refuse_a_twin(key.node_id, invites, settings.network)
        sweep()
        memory = Memory(home.last if settings.remember else None, settings.network, key.node_id)
        transport, relays = await _start_transport(settings, home, memory)
        node = await _bring_up(settings, home, key, transport, engines, calibration, relays=relays)
        stack.push_async_callback(node.close)
        await _refuse_no_network(node)
        twins = Twins(key, note=node.membership.note, end=stop.set)
        await twins.serve(node.transport)
        await stack.enter_async_context(neighbourhood(node, twins, multicast=settings.multicast))
        takes_places = not relays and not settings.relays
        reach = await stack.enter_async_context(reach_of(node, transport, takes_places=takes_places))
        failures = await node.start([address for invite in invites for address in invite.addresses])
        await stack.enter_async_context(memory.followed(node.membership))
        await reach.first_place()
        control = LocalControl(node, stop)
        await stack.enter_async_context(ControlServer(home.control_path(), control.handle))
        async with beside(node) as url:
            info = replace(await _run_info(settings, home, node), gateway=url)
            home.publish(info)
            ready(Ready(info=info, invite=format_invite(info.addresses, settings.network), failures=failures))
            await stop.wait()
        if twins.fault is not None:
            raise twins.fault  # without a farewell, which would be the other one's
        await node.leave()


async def _bring_up(
    settings: Settings,
    home: NodeHome,
    key: NodeKey,
    transport: Libp2pTransport,
    engines: Mapping[str, Engine],
    calibration: Calibration | None,
    *,
    relays: bool,
) -> MeshNode:
    """The node over this transport, which is closed where that fails; `relays` is whether it does."""
    options = options_of(settings, relays=relays)
    try:
        return await make_node(key, transport, engines, options, calibration=calibration, store=FileStore(home.files))
    except BaseException:
        await transport.close()
        raise


async def _start_transport(settings: Settings, home: NodeHome, memory: Memory) -> tuple[Libp2pTransport, bool]:
    """The transport, and whether it relays; it listens where it did last time unless told where."""
    listen = settings.listen or await memory.listen_again(EVERYWHERE)
    transport, relays = await _start_at(listen, settings, home)
    if not settings.listen:
        memory.keep_ports(transport.listen)
    return transport, relays


async def _start_at(listen: tuple[str, ...], settings: Settings, home: NodeHome) -> tuple[Libp2pTransport, bool]:
    """A node that is to relay tests itself first, and goes on without where that fails."""
    wanted = Libp2pSettings(
        key_path=home.key,
        listen=listen,
        announce=settings.announce,
        relays=settings.relays,
        port_map=settings.port_map,
    )
    if not settings.serve_as_relay:
        return await start_libp2p(wanted), False
    transport, report = await start_relay(wanted)
    if not report.healthy:
        log.warning("this node does not relay: %s", report.checks[-1].reason)
    return transport, report.healthy


async def _refuse_no_network(node: MeshNode) -> None:
    """Raise UsageError where others could not even be told an address."""
    if not await node.transport.addresses():
        raise UsageError(
            "no network interface of this machine is up, not even the loopback: connect it, or bring one up "
            "(ip link set lo up)"
        )


@asynccontextmanager
async def neighbourhood(node: MeshNode, twins: Twins, *, multicast: bool) -> AsyncIterator[None]:
    """While the block runs: be found in the local network, look for twins, note who comes and goes."""
    node.membership.set_on_double(twins.sight)
    lan = Multicast(
        node.key,
        node.transport.addresses,
        node.membership.meet,
        rng=Random(),
        wall=time.time,
        network=node.options.network,
        on_double=twins.sight,
    )
    noting = asyncio.create_task(log_neighbours(node.membership.usable, node.membership.changed), name="noting nodes")
    looking = asyncio.create_task(twins.run(), name="looking for twins")
    if multicast:
        await lan.start()
    try:
        yield
    finally:
        await lan.close()
        for task in (noting, looking):
            task.cancel()
        await asyncio.gather(noting, looking, return_exceptions=True)


def options_of(settings: Settings, *, relays: bool) -> NodeOptions:
    """What the settings tell a node of a mesh; `relays` is whether it does."""
    return NodeOptions(
        name=settings.name,
        network=settings.network,
        capacity=settings.capacity,
        queue=settings.queue,
        queue_per_asker=settings.queue_per_asker,
        price=settings.price,
        relays=relays,
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
