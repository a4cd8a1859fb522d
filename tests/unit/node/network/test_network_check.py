"""What `waggle doctor` finds of the ways to other nodes: a blocked one never hides behind another that works."""

import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from waggle.core.ids import NodeId
from waggle.mesh.libp2p.settings import Settings
from waggle.mesh.libp2p.transport import Libp2pTransport, start_libp2p
from waggle.node.network.dial_check import QUIC, TCP, check_invite, way_of
from waggle.node.network.network_check import PROTOCOL, call_each_way

pytestmark = pytest.mark.timeout(300)

OTHER = "12D3KooWGjMCdjr2FSnE5aQWWyUPGyLPGoFnUzPrZGSBbnVdSbsN"
CHECK = """
import asyncio
from waggle.node.network.network_check import check_network
for finding in asyncio.run(check_network()):
    print(finding.way, finding.works, finding.remark)
"""


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[Libp2pTransport]:
    """A node that answers as the one that doctor starts."""
    transport = await start_libp2p(Settings(key_path=tmp_path / "key"))

    async def echo(peer: NodeId, request: bytes) -> bytes:
        return request

    await transport.serve_calls(PROTOCOL, echo)
    yield transport
    await transport.close()


@pytest.fixture
def swallowing() -> Iterator[int]:
    """A UDP port at which packets arrive and are never answered: so looks one behind a firewall."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hole:
        hole.bind(("127.0.0.1", 0))
        yield hole.getsockname()[1]


def quic(port: int, node: Libp2pTransport) -> str:
    return f"/ip4/127.0.0.1/udp/{port}/quic-v1/p2p/{node.node_id}"


async def test_both_direct_ways_are_found_working(node: Libp2pTransport) -> None:
    found = await call_each_way(await node.addresses())
    assert [(finding.way, finding.works) for finding in found] == [(TCP, True), (QUIC, True)]


async def test_blocked_udp_is_seen_although_tcp_works(node: Libp2pTransport, swallowing: int) -> None:
    addresses = [address for address in await node.addresses() if way_of(address) == TCP]
    tcp, udp = await call_each_way([*addresses, quic(swallowing, node)])
    assert (tcp.works, udp.works) == (True, False)
    assert udp.remark == "no answer: a firewall or NAT drops UDP, or nothing listens there"


async def test_a_way_without_an_address_is_not_found_working() -> None:
    found = await call_each_way([])
    assert [finding.works for finding in found] == [False, False]
    assert "is its loopback interface up?" in found[0].remark


async def test_each_address_of_an_invite_is_told_apart(node: Libp2pTransport, swallowing: int) -> None:
    (tcp,) = [address for address in await node.addresses() if way_of(address) == TCP]
    closed = f"/ip4/127.0.0.1/tcp/1/p2p/{node.node_id}"
    relayed = f"{tcp}/p2p-circuit/p2p/{OTHER}"
    found = await check_invite([closed, quic(swallowing, node), relayed], "waggle")
    assert [(finding.way, finding.works) for finding in found] == [("TCP", False), ("QUIC", False), ("relay", False)]
    assert "127.0.0.1:1: the peer cannot be reached: nothing listens at its address" in found[0].remark
    assert found[0].remark.endswith("such an address is good on the node's own machine only")
    assert "the node in between does not relay" in found[2].remark


async def test_what_answers_but_is_no_node_of_the_swarm_does_not_count(node: Libp2pTransport) -> None:
    (found, *_) = await check_invite(await node.addresses(), "waggle")
    assert not found.works
    assert "does not serve this" in found.remark


def _without(command: str) -> list[str]:
    """The check in a network of its own where only loopback is, after a command that spoils it."""
    spoiled = f"ip link set lo up && {command} && exec {sys.executable} -c '{CHECK}'"
    return ["unshare", "--net", "bash", "-c", spoiled]


@pytest.mark.slow
@pytest.mark.network
def test_in_a_network_without_udp_quic_alone_does_not_work() -> None:
    if not all(map(shutil.which, ("unshare", "ip", "iptables-nft"))):
        pytest.skip("there is no unshare, ip or iptables-nft here")
    if subprocess.run([*_without("true")[:2], "true"], check=False, capture_output=True).returncode:
        pytest.skip("this kernel forbids networks of one's own")
    ran = subprocess.run(_without("iptables-nft -A OUTPUT -p udp -j DROP"), check=True, capture_output=True, text=True)
    found = {line.split()[0]: line.split()[1] for line in ran.stdout.splitlines()}
    assert found == {"TCP": "True", "QUIC": "False", "multicast": "False", "relay": "True"}
