"""By which way a node is linked to the others."""

from waggle.core.ids import NodeId
from waggle.mesh.transport import Link
from waggle.node.network.ways import ways_of

ANN, BOB, RELAY = NodeId("ann"), NodeId("bob"), NodeId("12D3KooWrelay")
WAY = f"/ip4/5.77.0.11/udp/1/quic-v1/p2p/{RELAY}/p2p-circuit"


def test_a_direct_link_is_called_direct() -> None:
    assert ways_of([Link(peer=ANN, addresses=("/ip4/5.77.0.11/tcp/1", WAY))], {}) == {ANN: "direct"}


def test_a_relayed_link_names_the_relay_and_its_id_where_the_name_is_unknown() -> None:
    links = [Link(peer=BOB, addresses=(WAY, WAY), relayed=True)]
    assert ways_of(links, {RELAY: "hub"}) == {BOB: "relayed by hub"}
    assert ways_of(links, {RELAY: ""}) == {BOB: "relayed by ...Wrelay"}


def test_a_relayed_link_of_unknown_address_is_still_called_relayed() -> None:
    assert ways_of([Link(peer=BOB, relayed=True)], {}) == {BOB: "relayed"}
