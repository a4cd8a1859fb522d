"""The daemon relays for everybody whatever it is told: a node that did not consent answers no such request."""

import os
import signal
from pathlib import Path

import pytest

from tests.unit.mesh.libp2p.arena import Arena, until
from tests.unit.mesh.libp2p.raw_peer import PATIENCE_SECONDS
from waggle.core.errors import MeshError, PeerRefused, PeerUnreachable
from waggle.mesh.libp2p.settings import Settings
from waggle.mesh.libp2p.transport import Libp2pTransport, start_libp2p

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


async def answers(arena: Arena, node: Libp2pTransport) -> bool:
    """Whether a node says anything, be it no, to a stranger who asks for a place at it."""
    await arena.attacker.connect((await node.addresses())[0])
    try:
        await arena.attacker.daemon.ask_for_place(node.node_id, PATIENCE_SECONDS)
    except (PeerRefused, PeerUnreachable):
        return False
    return True


async def test_a_node_that_relays_answers(arena: Arena, tmp_path: Path) -> None:
    settings = Settings(key_path=tmp_path / "key", run_dir=tmp_path / "r", serve_as_relay=True, reachability="public")
    relay = await start_libp2p(settings)
    try:
        assert await answers(arena, relay)
    finally:
        await relay.close()


async def test_a_node_that_did_not_consent_knows_nothing_of_relaying(arena: Arena) -> None:
    assert not await answers(arena, arena.node)


async def test_nor_does_it_after_its_daemon_died(arena: Arena) -> None:
    dead = arena.honest.daemon_pid
    os.kill(dead, signal.SIGKILL)
    await until(lambda: _is_back(arena.honest, dead))
    assert not await answers(arena, arena.honest)


def _is_back(node: Libp2pTransport, dead: int) -> bool:
    try:
        return node.daemon_pid != dead
    except MeshError:
        return False
