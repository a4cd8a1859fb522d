"""Which ways of reaching other nodes work on this machine, tried for real: direct, multicast, relay."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from msgspec import Struct

from waggle.core.errors import WaggleError
from waggle.core.ids import NodeId
from waggle.mesh.lan.multicast import Multicast
from waggle.mesh.libp2p.relay import start_relay
from waggle.mesh.libp2p.settings import Settings
from waggle.mesh.libp2p.transport import start_libp2p
from waggle.trust.keys import NodeKey

CHECK_SECONDS = 30.0
MULTICAST_SECONDS = 3.0
PROTOCOL = "/waggle/doctor/1"


class Finding(Struct, frozen=True, kw_only=True):
    """One way, whether it works, and what was seen or what stands in the way."""

    way: str
    works: bool
    remark: str


async def check_network() -> list[Finding]:
    """Try every way, each within CHECK_SECONDS; never raises for a way that does not work."""
    with TemporaryDirectory(prefix="waggle-") as folder:
        ways = {"direct": _direct, "multicast": _multicast, "relay": _relay}
        return [await _try(way, check(Path(folder))) for way, check in ways.items()]


async def _try(way: str, check: Coroutine[None, None, str]) -> Finding:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return Finding(way=way, works=True, remark=await check)
    except TimeoutError:
        return Finding(way=way, works=False, remark=f"nothing within {CHECK_SECONDS:g} s")
    except (WaggleError, OSError) as error:
        return Finding(way=way, works=False, remark=str(error))


async def _direct(folder: Path) -> str:
    """Two nodes of this machine call each other over TCP and QUIC."""
    here = await start_libp2p(Settings(key_path=folder / "a"))
    try:
        there = await start_libp2p(Settings(key_path=folder / "b"))
        try:
            await there.serve_calls(PROTOCOL, _echo)
            addresses = await there.addresses()
            for address in addresses:
                await here.connect([address])
                await here.call(there.node_id, PROTOCOL, b"hello")
                await here.disconnect(there.node_id)
            return "TCP and QUIC on this machine; a firewall may still stop others"
        finally:
            await there.close()
    finally:
        await here.close()


async def _echo(peer: NodeId, request: bytes) -> bytes:
    return request


async def _multicast(folder: Path) -> str:
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
        why = lan.state.trouble or "nothing that we sent came back: is multicast blocked on this network?"
        raise WaggleError(f"{why}; give nodes an invite")
    finally:
        await lan.close()


async def _relay(folder: Path) -> str:
    """A node of this machine relays 1 MiB between two others."""
    transport, report = await start_relay(Settings(key_path=folder / "relay"))
    await transport.close()
    if not report.healthy:
        raise WaggleError(report.checks[-1].reason)
    return f"1 MiB through a relay of this machine in {report.checks[-1].seconds:.1f} s; yours needs a public address"
