"""The processes of the mesh bench: started, and given orders."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec

from waggle.bench.mesh.values import Figure, Order, Serving
from waggle.bench.processes import START_SECONDS, Peer, running

SLACK_SECONDS = 30.0
QUIET = {"RUST_LOG": "off", "HIVEMIND_LOGLEVEL": "CRITICAL", "GRPC_VERBOSITY": "NONE"}

Client = Callable[[Order], Awaitable[Figure]]
T = TypeVar("T")


@asynccontextmanager
async def start_server(module: str) -> AsyncIterator[str]:
    """Start a subject's server; gives its address. Raises PeerUnreachable where it fails or takes too long."""
    async with _peer(module) as peer:
        yield (await _heard(peer, Serving, START_SECONDS)).address


@asynccontextmanager
async def start_client(module: str, address: str) -> AsyncIterator[Client]:
    """Start a subject's client; gives what carries out orders, one at a time. Raises PeerUnreachable, as that does."""
    async with _peer(module, address) as peer:
        await _heard(peer, Serving, START_SECONDS)

        async def obey(order: Order) -> Figure:
            assert peer.process.stdin is not None
            peer.process.stdin.write(msgspec.json.encode(order) + b"\n")
            return await _heard(peer, Figure, order.seconds + SLACK_SECONDS)

        yield obey


@asynccontextmanager
async def _peer(*arguments: str) -> AsyncIterator[Peer]:
    command = (sys.executable, "-m", "waggle.bench.mesh.peer", *arguments)
    async with running(*command, more=QUIET, minds_its_input=True) as peer:
        yield peer


async def _heard(peer: Peer, kind: type[T], seconds: float) -> T:
    """The next line that it says."""
    line = await peer.line(seconds)
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.MsgspecError:
        raise peer.fault(
            f"a process of the bench said {line[:200]!r}" if line else "a process of the bench ended"
        ) from None
