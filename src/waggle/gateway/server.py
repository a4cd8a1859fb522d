"""Runs an application on uvicorn inside our own event loop, until the block ends; then it drains.

uvicorn's own signal handlers stay off: the command that runs the gateway decides when it ends. The socket is bound
before anything else, so that a taken port is one clear error.
"""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_address

import uvicorn
from fastapi import FastAPI

from waggle.core.errors import UsageError
from waggle.gateway.door.protocol import BoundedProtocol
from waggle.gateway.options import GatewayOptions

START_SECONDS = 15.0
POLL_SECONDS = 0.01
BACKLOG = 1024
MOST_CONNECTIONS = 2048


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: FastAPI, options: GatewayOptions) -> AsyncIterator[str]:
    """Serve while the block runs; gives the base URL, without a slash at its end.

    At the end no new requests are taken, and those under way have `drain_seconds` to be answered.

    Raises:
        UsageError: the address cannot be listened on.
    """
    listener = bound(options.host, options.port)
    server = _Server(
        uvicorn.Config(
            app,
            http=BoundedProtocol,
            log_config=None,
            access_log=False,
            lifespan="on",
            timeout_keep_alive=15,
            timeout_graceful_shutdown=max(1, round(options.drain_seconds)),
            backlog=BACKLOG,
            limit_concurrency=MOST_CONNECTIONS,
            server_header=False,
            ws_max_size=1024 * 1024,
        )
    )
    running = asyncio.create_task(server.serve(sockets=[listener]), name="gateway")
    try:
        await _until_started(server, running)
        yield url_of(listener)
    finally:
        server.should_exit = True
        await asyncio.gather(running, return_exceptions=True)
        listener.close()


async def _until_started(server: uvicorn.Server, running: "asyncio.Task[None]") -> None:
    async with asyncio.timeout(START_SECONDS):
        while not server.started:
            if running.done():
                running.result()
                raise UsageError("the gateway ended before it had begun")
            await asyncio.sleep(POLL_SECONDS)


def bound(host: str, port: int) -> socket.socket:
    """A socket that is bound to this address. Raises UsageError where that is not to be had."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise UsageError(f"{host!r} is no address of this machine") from None
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"port {port} is in use: choose another one, or 0 for any that is free") from None
        raise UsageError(f"cannot listen on {host} port {port}: {error.strerror}") from None
    return listener


def url_of(listener: socket.socket) -> str:
    """The base URL by which this machine reaches what listens there."""
    host, port = listener.getsockname()[:2]
    address = ip_address(host)
    if address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
