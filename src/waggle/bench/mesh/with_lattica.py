"""Lattica in the mesh bench, through its compiled core: its Python layer would unpickle what a peer sends.

Its stream calls answer one request; frames cannot go both ways on one stream, so `ping` has nothing to measure. Its
transfer has no acknowledgement: the last frame is the end. Threads wait for its calls: of the ways to wait that its
future offers, the fastest one.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import NoReturn, Protocol

from waggle.bench.mesh.values import FRAME_BYTES
from waggle.core.errors import PeerUnreachable

core = import_module("lattica_python_core")  # it has no types

CONNECT_SECONDS, LOOK_SECONDS = 10.0, 0.05
CALL_SECONDS = 10  # the core takes whole seconds
FRAME = bytes(FRAME_BYTES)
ALONE = {"with_mdns": False, "with_upnp": False, "with_autonat": False, "with_dcutr": False}


class _Future(Protocol):
    def result(self, timeout: int) -> bytes: ...


class _Rpc(Protocol):
    def call(self, method: str, data: bytes) -> _Future: ...
    def call_stream_iter(self, method: str, data: bytes) -> Iterator[bytes]: ...


class Bench:
    """The service: the core finds its methods by these names."""

    _service_name = "Bench"
    _rpc_methods = ("echo",)
    _stream_methods = ()
    _stream_iter_methods = ("frames",)

    def get_service_name(self) -> str:
        """What callers put before a method's name."""
        return self._service_name

    def get_methods(self) -> list[str]:
        """The methods that answer with one reply."""
        return list(self._rpc_methods)

    def get_stream_methods(self) -> list[str]:
        """None."""
        return []

    def _handle_echo(self, data: bytes) -> bytes:
        return data

    def _handle_stream_iter_frames(self, data: bytes) -> Iterator[bytes]:
        for _ in range(int(data)):
            yield FRAME


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    """Serve; the address is a multiaddr."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = f"/ip4/127.0.0.1/tcp/{probe.getsockname()[1]}"
    node = core.LatticaSDK({"listen_addrs": [listen], **ALONE})
    node.register_service(Bench())
    yield f"{listen}/p2p/{node.peer_id()}"
    node.close()


@asynccontextmanager
async def connected(address: str) -> "AsyncIterator[LatticaClient]":
    """A client of the server at that multiaddr."""
    node = core.LatticaSDK({"listen_addrs": ["/ip4/127.0.0.1/tcp/0"], "bootstrap_nodes": [address], **ALONE})
    peer = address.rpartition("/")[2]
    async with asyncio.timeout(CONNECT_SECONDS):
        while peer not in node.get_all_peers():  # noqa: ASYNC110 - it tells nobody when it has connected
            await asyncio.sleep(LOOK_SECONDS)
    yield LatticaClient(node.get_client(peer))
    node.close()


class LatticaClient:
    """A `Client` and a `BlockingClient` over the core's client."""

    def __init__(self, rpc: _Rpc) -> None:
        """Of a client whose server is connected."""
        self._rpc = rpc

    def call_and_wait(self, request: bytes) -> bytes:
        """One request and its reply."""
        return self._rpc.call("Bench.echo", request).result(timeout=CALL_SECONDS)

    async def call(self, request: bytes) -> bytes:
        """The same, in a thread."""
        return await asyncio.to_thread(self.call_and_wait, request)

    async def ping(self, frame: bytes) -> NoReturn:
        """Lattica has nothing like it."""
        raise PeerUnreachable("lattica has no streams with frames both ways")

    async def pull(self, frames: int) -> int:
        """Read so many frames."""
        return await asyncio.to_thread(self._pull, frames)

    def _pull(self, frames: int) -> int:
        return sum(map(len, self._rpc.call_stream_iter("Bench.frames", str(frames).encode())))
