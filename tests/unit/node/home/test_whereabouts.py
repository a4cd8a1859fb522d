"""What a node keeps for its next start: bounded, of its own network, and never trusted for being in its own file."""

import asyncio
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from tests.adverts import alive
from tests.swarm.members import Crowd
from tests.virtual import in_virtual_time
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Peer
from waggle.mesh.libp2p.settings import with_ports
from waggle.node.config.settings import EVERYWHERE
from waggle.node.home import whereabouts
from waggle.node.home.whereabouts import MOST_BYTES, MOST_PEERS, Memory, Whereabouts
from waggle.trust.keys import NodeKey

NODES = [NodeKey.from_seed(number.to_bytes(32)).node_id for number in range(1_000)]
OWN, ANT, BEE, CICADA, *MANY = NODES
TCP = ("/ip4/127.0.0.1/tcp/0",)


def address(node: NodeId, port: int = 4001) -> str:
    return f"/ip4/198.51.100.7/tcp/{port}/p2p/{node}"


def peer(node: NodeId, *addresses: str) -> Peer:
    return alive(node, addresses=addresses or (address(node),))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "last.json"


def kept(path: Path, network: str = "n") -> list[str]:
    """Of whom the next start knows, by their ids."""
    return [texts[0].rpartition("/")[2] for texts in Memory(path, network, OWN).now.peers]


def test_peers_and_ports_are_known_at_the_next_start(path: Path) -> None:
    memory = Memory(path, "n", OWN)
    memory.keep_ports(("/ip4/0.0.0.0/tcp/4001",))
    memory.keep_peers([peer(ANT), peer(BEE)])
    again = Memory(path, "n", OWN).now
    assert again == memory.now
    assert again == Whereabouts(
        network="n", listen=("/ip4/0.0.0.0/tcp/4001",), peers=((address(ANT),), (address(BEE),))
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_who_was_here_first_is_kept_longest_and_few_are(path: Path) -> None:
    memory = Memory(path, "n", OWN)
    memory.keep_peers([peer(ANT), peer(BEE)])
    memory.keep_peers([peer(node) for node in MANY] + [peer(BEE, address(BEE, 5))])
    assert memory.now.peers[0] == (address(BEE, 5),), "at its new address"
    assert len(memory.now.peers) == MOST_PEERS
    assert ANT not in kept(path), "it was away, and there was no room"


def test_who_is_away_is_kept_while_there_is_room(path: Path) -> None:
    memory = Memory(path, "n", OWN)
    memory.keep_peers([peer(ANT), peer(BEE)])
    memory.keep_peers([])
    memory.keep_peers([peer(CICADA)])
    assert kept(path) == [CICADA, ANT, BEE]


def test_the_largest_list_can_be_read_again(path: Path) -> None:
    memory = Memory(path, "n", OWN)
    relay = f"/ip6/{':'.join(['2a00'] * 8)}/tcp/{{}}/tls/ws/p2p/{OWN}/p2p-circuit/p2p/"
    nodes = MANY[:MOST_PEERS]
    memory.keep_peers([peer(node, *(relay.format(port) + node for port in range(10_000, 10_024))) for node in nodes])
    assert path.stat().st_size < MOST_BYTES
    assert kept(path) == nodes


def test_another_network_is_another_swarm(path: Path) -> None:
    memory = Memory(path, "n", OWN)
    memory.keep_ports(("/ip4/0.0.0.0/tcp/4001",))
    memory.keep_peers([peer(ANT)])
    other = Memory(path, "other", OWN).now
    assert (other.listen, other.peers) == (("/ip4/0.0.0.0/tcp/4001",), ())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"network": "n", "more": 1}',
        b'{"network": "n", "peers": [["x"], []], "listen": [7]}',
        b" " * (MOST_BYTES + 1),
        b"\xff" * 99,
        b'{"peers":' + b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_forgotten_with_a_word(path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(content)
    assert Memory(path, "n", OWN).now == Whereabouts(network="n")
    assert "forgotten" in caplog.text


def test_of_a_file_only_addresses_that_may_be_dialled_are_used(path: Path) -> None:
    peers = (
        (address(ANT), address(BEE), f"/dns4/beside/tcp/1/p2p/{ANT}", f"/ip4/224.0.0.1/tcp/1/p2p/{ANT}"),
        (address(OWN),),
        ("nonsense",),
        (),
    )
    path.write_bytes(msgspec.json.encode(Whereabouts(network="n", peers=peers)))
    assert Memory(path, "n", OWN).now.peers == ((address(ANT),),)


def test_what_cannot_be_written_costs_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    memory = Memory(tmp_path / "nowhere" / "last.json", "n", OWN)
    memory.keep_peers([peer(ANT)])
    assert "not kept" in caplog.text
    assert memory.now.peers == ((address(ANT),),)


def test_a_node_that_is_to_forget_writes_nothing(tmp_path: Path) -> None:
    memory = Memory(None, "n", OWN)
    memory.keep_peers([peer(ANT)])
    memory.keep_ports(TCP)
    assert list(tmp_path.iterdir()) == []


# --- ports -----------------------------------------------------------------------------------------------------------


async def test_a_free_port_is_used_again(path: Path) -> None:
    memory = Memory(path, "n", OWN)
    assert await memory.listen_again(EVERYWHERE) == EVERYWHERE
    last = with_ports(EVERYWHERE)
    memory.keep_ports(last)
    assert await Memory(path, "n", OWN).listen_again(EVERYWHERE) == last
    assert await Memory(path, "n", OWN).listen_again(TCP) == TCP, "that was another interface"


async def test_of_a_taken_port_another_is_used_with_a_word(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whereabouts, "PORT_SECONDS", 0.1)
    memory = Memory(path, "n", OWN)
    tcp, quic = with_ports(EVERYWHERE)
    memory.keep_ports((tcp, quic))
    with _listener(int(tcp.split("/")[4])):
        assert await memory.listen_again(EVERYWHERE) == (EVERYWHERE[0], quic)
    assert caplog.text.count("is taken") == 1


async def test_a_port_that_a_killed_node_still_holds_is_waited_for(path: Path) -> None:
    memory = Memory(path, "n", OWN)
    last = with_ports(TCP)
    memory.keep_ports(last)
    with _listener(int(last[0].split("/")[4])) as listener:
        asyncio.get_running_loop().call_later(0.3, listener.close)
        assert await memory.listen_again(TCP) == last


@pytest.mark.parametrize("text", ["/p2p/x", "nonsense", "/ip4/127.0.0.1/tcp/99999", "/unix/x", "/ip4/127.0.0.1"])
def test_a_port_that_makes_no_sense_is_left_aside(path: Path, text: str) -> None:
    path.write_bytes(msgspec.json.encode(Whereabouts(network="n", listen=(text,))))
    assert asyncio.run(Memory(path, "n", OWN).listen_again(TCP)) == TCP


@contextmanager
def _listener(port: int) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", port)) as listener:
        yield listener


# --- going back ------------------------------------------------------------------------------------------------------


def remembering(crowd: Crowd, number: int, *others: int) -> Memory:
    """The memory of a node that once knew these."""
    memory = Memory(None, "n", crowd.id(number))
    memory.keep_peers([peer(crowd.id(other), crowd.address(other)) for other in others])
    return memory


@in_virtual_time
async def test_a_node_without_an_invite_goes_back_to_whoever_is_left() -> None:
    crowd = Crowd()
    await crowd.start(2)
    await crowd.add(30, invites=())
    async with remembering(crowd, 30, *range(5, 25), 1).followed(crowd.nodes[30]):
        seconds = await crowd.until(crowd.whole, 60.0)
    await crowd.stop()
    assert seconds < 25.0, "of 21 that it knew the last one is there"


@in_virtual_time
async def test_a_node_finds_one_that_was_not_there_at_first() -> None:
    crowd = Crowd()
    await crowd.add(1, invites=())
    async with remembering(crowd, 1, 0).followed(crowd.nodes[1]):
        await asyncio.sleep(100)
        await crowd.add(0, invites=())
        await crowd.until(crowd.whole, whereabouts.LONGEST_PAUSE + 5.0)
    await crowd.stop()


@in_virtual_time
async def test_who_has_company_leaves_the_others_alone() -> None:
    crowd = Crowd()
    await crowd.start(2)
    await crowd.add(7, invites=())
    async with remembering(crowd, 1, 7).followed(crowd.nodes[1]):
        await asyncio.sleep(100)
        assert crowd.usable(7) == set()
    await crowd.stop()


@in_virtual_time
async def test_whoever_answers_is_noted_and_stays_noted_after_the_end() -> None:
    crowd = Crowd()
    await crowd.start(3)
    memory = remembering(crowd, 0)
    async with memory.followed(crowd.nodes[0]):
        await asyncio.sleep(3)
        before = len(memory.now.peers)
        await crowd.kill(1)
        await crowd.kill(2)
        await crowd.until(lambda: not crowd.usable(0), 30.0)
        await asyncio.sleep(100)
    await crowd.stop()
    assert (before, len(memory.now.peers)) == (2, 2)
