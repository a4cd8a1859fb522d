"""The addresses that peers were dialled at are kept for later, for a bounded number of peers, the latest ones."""

from pathlib import Path

from waggle.core.ids import NodeId
from waggle.mesh.addresses import parse_place
from waggle.mesh.libp2p.settings import Settings
from waggle.mesh.libp2p.transport import Libp2pTransport
from waggle.mesh.limits import MAX_PEERS_TRACKED

WAYS = (parse_place("/ip4/198.51.100.7/tcp/4001"),)


async def test_the_peer_dialled_longest_ago_is_forgotten_first(tmp_path: Path) -> None:
    transport = Libp2pTransport(Settings(key_path=tmp_path / "key"), NodeId("me"))
    for number in range(MAX_PEERS_TRACKED):
        transport._remember(NodeId(f"p{number}"), WAYS)
    transport._remember(NodeId("p0"), WAYS)
    transport._remember(NodeId("one more"), WAYS)
    assert len(transport._known) == MAX_PEERS_TRACKED
    assert NodeId("p0") in transport._known
    assert NodeId("p1") not in transport._known
