"""Which ways of reaching other nodes work on this machine, tried for real: direct, multicast, relay."""

import asyncio
import re
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from random import Random

from waggle.core.errors import PeerUnreachable, WaggleError
from waggle.core.ids import NodeId
from waggle.mesh.libp2p.p2pd.scratch import scratch_folder
from waggle.mesh.libp2p.relay import start_relay
from waggle.mesh.libp2p.settings import Settings
from waggle.mesh.libp2p.transport import start_libp2p
from waggle.mesh.members.multicast import Multicast
from waggle.node.network.dial_check import DIAL_SECONDS, QUIC, RELAY, TCP, Finding, dial, way_of
from waggle.node.network.outside import passer_by
from waggle.trust.keys import NodeKey

CHECK_SECONDS = 30.0
MULTICAST_SECONDS = 3.0
RELAY_STARTS = 2
"""Enough to hear within CHECK_SECONDS what is wrong: a failing one takes 10 s."""
NOT_CARRIED = "nothing that we sent came back: is multicast blocked on this network?"
PROTOCOL = "/waggle/doctor/1"


Tell = Callable[[str], None]
Take = Callable[[Sequence[Finding]], None]


async def check_network(trying: Tell = lambda _: None, found: Take = lambda _: None) -> list[Finding]:
    """Try every way, each within CHECK_SECONDS; never raises for a way that does not work.

    Args:
        trying: told what is tried next, in words.
        found: given what was found as soon as it is; the direct ways together.
    """
    with scratch_folder() as folder:
        trying("links over TCP and QUIC")
        found(direct := await _direct(folder))
        trying("multicast")
        found([multicast := await _try("multicast", _multicast())])
        if any(finding.works for finding in direct):
            trying("a relay")
            relay = await _try(RELAY, _relay(folder))
        else:
            relay = Finding(way=RELAY, works=False, remark="not tried: no direct link works here")
        found([relay])
        return [*direct, multicast, relay]


def is_direct(finding: Finding) -> bool:
    """Whether it is about direct links."""
    return finding.way in (TCP, QUIC)


async def _try(way: str, check: Coroutine[None, None, str]) -> Finding:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return Finding(way=way, works=True, remark=await check)
    except TimeoutError:
        return Finding(way=way, works=False, remark=f"nothing within {CHECK_SECONDS:g} s")
    except (WaggleError, OSError) as error:
        return Finding(way=way, works=False, remark=str(error))


async def _direct(folder: Path) -> list[Finding]:
    """A node of this machine is called by others of it, over TCP and over QUIC."""
    try:
        there = await start_libp2p(Settings(key_path=folder / "direct"))
    except (WaggleError, OSError) as error:
        return [Finding(way=way, works=False, remark=str(error)) for way in (TCP, QUIC)]
    try:
        await there.serve_calls(PROTOCOL, _echo)
        return await call_each_way(await there.addresses())
    finally:
        await there.close()


async def call_each_way(addresses: Sequence[str]) -> list[Finding]:
    """Call a node that serves PROTOCOL at its TCP and at its QUIC address, each as if it had no other."""
    of_way = {way_of(address): address for address in reversed(addresses)}
    return [await _try(way, _call(of_way.get(way))) for way in (TCP, QUIC)]


async def _call(address: str | None) -> str:
    if address is None:
        raise PeerUnreachable("this machine has no address for it: is its loopback interface up?")
    async with passer_by() as (transport, _):
        peer = await dial(transport, address)
        await transport.call(peer, PROTOCOL, b"hello", seconds=DIAL_SECONDS)
    return "between nodes of this machine; a firewall may still stop others"


async def _echo(peer: NodeId, request: bytes) -> bytes:
    return request


async def _multicast() -> str:
    """We hear what we say to the local network."""

    async def nowhere() -> Sequence[str]:
        return ("/ip4/127.0.0.1/tcp/1/p2p/" + key.node_id,)

    key = NodeKey.generate()
    lan = Multicast(key, nowhere, lambda addresses: None, rng=Random(), wall=time.time, network="waggle-doctor")
    await lan.start()
    try:
        for _ in range(round(MULTICAST_SECONDS / 0.1)):
            if lan.state.hears_itself:
                return "the local network carries our packets"
            await asyncio.sleep(0.1)
        why = re.sub(r"\[Errno \d+\] ", "", lan.state.trouble) or NOT_CARRIED
        raise WaggleError(f"{why}; give nodes an invite")
    finally:
        await lan.close()


async def _relay(folder: Path) -> str:
    """A node of this machine relays 1 MiB between two others."""
    transport, report = await start_relay(Settings(key_path=folder / "relay"), max_starts=RELAY_STARTS)
    await transport.close()
    if not report.healthy:
        raise WaggleError(report.checks[-1].reason)
    return f"1 MiB through a relay of this machine in {report.checks[-1].seconds:.1f} s; yours needs a public address"
