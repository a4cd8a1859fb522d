"""The map: a hub that all public hosts hang on, and homes behind NAT boxes.

    p0 .. p3   a0     b0
      \\  |  /         |
        hub -- NAT a -- home a (192.168.11.0/24)
            -- NAT b -- home b (192.168.12.0/24)

The public network is 5.77.0.0/24: libp2p takes private and documentation addresses for no use in hole punching.
"""

import itertools
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path

from waggle.testing.netlab import namespaces
from waggle.testing.netlab.machine import Machine

PUBLIC_NETWORK = "5.77.0"
HOME_NETWORK = "192.168"
FIRST_PUBLIC, FIRST_NAT, FIRST_HOME = 11, 101, 11
MAX_PUBLIC = 8
_labs = itertools.count(1)


class Nat(StrEnum):
    """How a box chooses the port that the outside sees."""

    CONE = "cone"
    """The same for every destination: hole punching works."""
    SYMMETRIC = "symmetric"
    """Another one for every destination: it does not."""


class Lab:
    """A running lab; `open_lab` makes it."""

    def __init__(self, number: int, folder: Path) -> None:
        """Nothing yet; the agents' files go into `folder`."""
        self._number = number
        self._folder = folder
        self._names: list[str] = []
        self.public: list[Machine] = []
        """Hosts with public addresses."""
        self.homes: list[Machine] = []
        """One host behind each NAT box, in the order the boxes were given."""
        self.nats: list[str] = []
        """The public address of each NAT box."""

    async def build(self, public: int, nats: Sequence[Nat]) -> None:
        """Make the namespaces and their links; raises LabFailed where one cannot be made."""
        hub = await self._add("hub")
        await namespaces.configure(hub, ["link add hub type bridge", "link set hub up"])
        for index in range(public):
            address = f"{PUBLIC_NETWORK}.{FIRST_PUBLIC + index}"
            name = await self._join_hub(f"p{index}", address)
            self.public.append(Machine(name, address, self._folder / f"p{index}", (hub, f"p{index}")))
        for index, nat in enumerate(nats):
            self.homes.append(await self._add_home(index, nat))

    async def _add(self, role: str) -> str:
        name = namespaces.own_name(self._number, role)
        self._names.append(name)
        await namespaces.add(name)
        return name

    async def _join_hub(self, role: str, address: str) -> str:
        """A namespace with one leg in the public network."""
        hub, name = self._names[0], await self._add(role)
        await namespaces.configure(hub, [
            f"link add {role} type veth peer name out netns {name}", f"link set {role} master hub up",
        ])  # fmt: skip
        await namespaces.configure(name, [f"addr add {address}/24 dev out", "link set out up"])
        return name

    async def _add_home(self, index: int, nat: Nat) -> Machine:
        network = f"{HOME_NETWORK}.{FIRST_HOME + index}"
        self.nats.append(f"{PUBLIC_NETWORK}.{FIRST_NAT + index}")
        box = await self._join_hub(f"nat{index}", self.nats[-1])
        host = await self._add(f"home{index}")
        await namespaces.configure(box, [
            f"link add home type veth peer name out netns {host}",
            f"addr add {network}.1/24 dev home", "link set home up",
        ])  # fmt: skip
        await namespaces.configure(host, [
            f"addr add {network}.2/24 dev out", "link set out up", f"route add default via {network}.1",
        ])  # fmt: skip
        rules = namespaces.nat_rules("out", "home", symmetric=nat is Nat.SYMMETRIC)
        await namespaces.run(*namespaces.inside(box, "iptables-restore"), given=rules)
        await namespaces.run(*namespaces.inside(box, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"))
        return Machine(host, f"{network}.2", self._folder / f"home{index}", (box, "home"))

    async def close(self) -> None:
        """Stop every agent, kill what still runs inside, remove all namespaces."""
        for machine in (*self.public, *self.homes):
            await machine.kill()
        for name in reversed(self._names):
            await namespaces.remove(name)


@asynccontextmanager
async def open_lab(*, public: int = 4, nats: Sequence[Nat] = (Nat.CONE, Nat.CONE)) -> AsyncIterator[Lab]:
    """A lab for the time of the block; leftovers of dead processes are swept first.

    Args:
        public: hosts with public addresses, 1 to MAX_PUBLIC.
        nats: the boxes, one home host behind each.

    Raises:
        LabFailed: it cannot be made; `can_make_networks` says why beforehand.
    """
    assert 1 <= public <= MAX_PUBLIC
    await namespaces.sweep()
    with tempfile.TemporaryDirectory(prefix="waggle-lab-", ignore_cleanup_errors=True) as folder:
        lab = Lab(next(_labs), Path(folder))
        try:
            await lab.build(public, nats)
            yield lab
        finally:
            await lab.close()
