"""A relay that is known to be bad: its daemon runs the service that cuts every link after 128 KiB, and no other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from waggle.mesh.libp2p.daemon import peer_text
from waggle.mesh.libp2p.p2pd import rundir, wire
from waggle.mesh.libp2p.p2pd.control import Requests
from waggle.mesh.libp2p.p2pd.delimited import delimit
from waggle.mesh.libp2p.p2pd.process import Process
from waggle.mesh.libp2p.relay import near_addresses
from waggle.mesh.libp2p.settings import LOOPBACK, Settings, daemon_options, with_ports
from waggle.trust.keys import NodeKey


@asynccontextmanager
async def limited_relay(folder: Path) -> AsyncIterator[tuple[str, ...]]:
    """Run one for the time of the block, its files in `folder`; gives its addresses. Raises as `start_libp2p`."""
    settings = Settings(
        key_path=folder / "key", listen=with_ports(LOOPBACK), reachability="public", run_dir=folder / "run"
    )  # fmt: skip
    NodeKey.load_or_create(settings.key_path)
    control = rundir.socket_path(rundir.prepare(settings.run_dir), "control")
    process = await Process.launch(daemon_options(settings, settings.listen, control))
    try:
        answer = await Requests(control).ask(wire.identify())
        _, keeping = await asyncio.open_unix_connection(control)
        keeping.write(delimit(wire.upgrade()))  # the daemon ends with this connection, or soon where there is none
        yield near_addresses(settings, peer_text(answer.peer))
        keeping.close()
    finally:
        await process.stop()
