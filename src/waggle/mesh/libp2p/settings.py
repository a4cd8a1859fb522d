"""What a libp2p node is told at its start, and the daemon's options that follow from it. Pure but for probing ports."""

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from waggle.core.errors import UsageError
from waggle.mesh.addresses import Place, parse_peer, parse_place
from waggle.mesh.limits import MIB

MAX_DAEMON_MESSAGE_BYTES = 4 * MIB
IDLE_SECONDS = 15
"""The daemon ends by itself if we die before we have connected to it."""

LOOPBACK = ("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1")


class Settings(Struct, frozen=True, kw_only=True):
    """How a node joins the network. The defaults reach no further than this machine."""

    key_path: Path
    """The node's key; made if there is none."""
    listen: tuple[str, ...] = LOOPBACK
    """Where to listen; port 0 takes a free one and keeps it. Empty: listen nowhere, only dial."""
    announce: tuple[str, ...] = ()
    """What to tell others instead of the addresses listened on."""
    relays: tuple[str, ...] = ()
    """Nodes that may relay for us where we cannot be reached: addresses ending in /p2p/<id>, one per relay is used."""
    serve_as_relay: bool = False
    """Relay for others."""
    port_map: bool = False
    """Ask the router for a way in (UPnP, NAT-PMP)."""
    reachability: Literal["public", "private"] | None = None
    """Whether others can dial us; None lets the daemon find out."""
    run_dir: Path | None = None
    """Where the daemon's sockets live; None is `rundir.default_folder()`."""

    def checked(self) -> "Settings":
        """Itself; raises UsageError for an address that is none."""
        for text in (*self.listen, *self.announce):
            if parse_place(text).relayed:
                raise UsageError(f"{text} leads through a relay: name the relay in `relays` instead")
        for text in self.announce:
            if parse_place(text).port == 0:
                raise UsageError(f"{text} is announced to others: it needs its real port")
        for text in self.relays:
            parse_peer(text)
        return self


def one_per_relay(relays: Sequence[str]) -> list[str]:
    """The first address of every relay: given two of one, the daemon waits for a second relay for minutes."""
    chosen: dict[str, str] = {}
    for text in relays:
        chosen.setdefault(parse_peer(text).peer, text)
    return list(chosen.values())


def daemon_options(settings: Settings, listen: Sequence[str], control: str) -> list[str]:
    """The daemon's command line, without the program. No DHT, no search for relays, no bootstrap nodes."""
    relays = one_per_relay(settings.relays)
    options: dict[str, object] = {
        "id": settings.key_path,
        "listen": f"/unix{control}",
        "idleTimeout": f"{IDLE_SECONDS}s",
        "persistentConnMaxMsgSize": MAX_DAEMON_MESSAGE_BYTES,
        "connManager": 1,
        "autonat": 1,
        "relay": 1,
        "relayService": int(settings.serve_as_relay),
        "relayDiscovery": 0,
        "autoRelay": int(bool(relays)),
        "natPortMap": int(settings.port_map),
    }
    if relays:
        options["trustedRelays"] = ",".join(relays)
        options["dhtClient"] = 1  # no autoRelay without a DHT; with nobody to serve it, a client idles
    if settings.announce:
        options["announceAddrs"] = ",".join(settings.announce)
    if settings.reachability is not None:
        options["forceReachability" + settings.reachability.capitalize()] = 1
    options |= {"hostAddrs": ",".join(listen)} if listen else {"noListenAddrs": 1}
    return [f"-{name}={value}" for name, value in options.items()]


def with_ports(listen: Sequence[str]) -> tuple[str, ...]:
    """The same addresses with a free port in place of 0, so that a restarted daemon listens where it did before.

    Raises:
        UsageError: an address cannot be listened on: not ours, or the port is taken.
    """
    return tuple(str(_with_port(parse_place(text))) for text in listen)


def _with_port(place: Place) -> Place:
    if place.named:
        raise UsageError(f"{place} cannot be listened on: give an IP address, 0.0.0.0 for all")
    family = socket.AF_INET if place.parts[0][0] == "ip4" else socket.AF_INET6
    kind = socket.SOCK_STREAM if place.parts[1][0] == "tcp" else socket.SOCK_DGRAM
    with socket.socket(family, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((place.host, place.port))
        except OSError as error:
            raise UsageError(f"cannot listen on {place}: {error.strerror}") from None
        return place.with_port(probe.getsockname()[1])
