"""What the daemon is told, and what is refused before it is started."""

import socket
from pathlib import Path

import pytest

from waggle.core.errors import UsageError
from waggle.mesh.addresses import parse_place
from waggle.mesh.libp2p.settings import LOOPBACK, Settings, daemon_options, one_per_relay, with_ports
from waggle.mesh.libp2p.transport import start_libp2p
from waggle.trust.keys import NodeKey

RELAYS = [NodeKey.from_seed(bytes([number]) * 32).node_id for number in range(2)]


def settings(**changes: object) -> Settings:
    return Settings(key_path=Path("key"), **changes)  # type: ignore[arg-type]


def options(**changes: object) -> dict[str, str]:
    words = daemon_options(settings(**changes), ["/ip4/127.0.0.1/tcp/7"], "/run/c.sock")
    return dict(word.lstrip("-").split("=", 1) for word in words)


def test_nothing_that_helps_strangers_is_on_unasked() -> None:
    plain = options()
    assert (plain["relayService"], plain["natPortMap"], plain["relayDiscovery"], plain["autoRelay"]) == tuple("0000")
    assert not {"dht", "dhtClient", "dhtServer", "b", "bootstrapPeers", "pubsub", "pprof", "metricsAddr"} & set(plain)


def test_what_is_asked_for_is_on() -> None:
    asked = options(serve_as_relay=True, port_map=True, reachability="public", announce=("/ip4/192.0.2.1/tcp/9",))
    assert (asked["relayService"], asked["natPortMap"], asked["forceReachabilityPublic"]) == tuple("111")
    assert asked["announceAddrs"] == "/ip4/192.0.2.1/tcp/9"


def test_a_relay_is_named_once() -> None:
    texts = [f"/ip4/192.0.2.{host}/tcp/1/p2p/{relay}" for host in (1, 2) for relay in RELAYS]
    assert one_per_relay(texts) == texts[:2]
    assert options(relays=tuple(texts))["trustedRelays"] == ",".join(texts[:2])
    assert options(relays=tuple(texts))["autoRelay"] == "1"


@pytest.mark.parametrize(
    "changes",
    [
        {"listen": ("/ip4/127.0.0.1",)},
        {"listen": (f"/ip4/127.0.0.1/tcp/1/p2p/{RELAYS[0]}/p2p-circuit/p2p/{RELAYS[1]}",)},
        {"announce": ("/ip4/192.0.2.1/tcp/0",)},
        {"announce": ("-help",)},
        {"relays": ("/ip4/192.0.2.1/tcp/1",)},
    ],
)
def test_settings_that_make_no_sense_are_usage_errors(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        settings(**changes).checked()


def test_free_ports_are_chosen_once_and_for_all() -> None:
    listen = with_ports(LOOPBACK)
    assert all(parse_place(text).port > 0 for text in listen)
    assert with_ports(listen) == listen


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(UsageError, match=f"tcp/{port}: Address already in use"):
            with_ports([f"/ip4/127.0.0.1/tcp/{port}"])


def test_a_name_cannot_be_listened_on() -> None:
    with pytest.raises(UsageError, match=r"0\.0\.0\.0"):
        with_ports(["/dns4/localhost/tcp/1"])


async def test_a_damaged_key_is_a_usage_error_and_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"no key")
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(UsageError):
        await start_libp2p(Settings(key_path=tmp_path / "key", run_dir=tmp_path / "r"))
    assert not (tmp_path / "r").exists()
