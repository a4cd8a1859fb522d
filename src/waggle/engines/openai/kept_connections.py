"""The connections to one server: each carries one call at a time, and is kept a moment for the next one.

A new connection costs most of a call in front of a fast server, and round trips with TLS. Whoever calls gets the
connection that was used last, or a new one: calls never wait for each other here. There is no limit of its own; there
are never more connections than there were calls at once.

httpx's own pool is not used: it loses connections whose call is cancelled between connecting and sending, and takes
bytes behind the end of an answer for the next answer.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator

import httpx

from waggle.engines.openai.connection import Connection

PATIENCE_SECONDS = 0.25  # who waits longer for a first byte may wait for a thread that an idle connection holds
ADDRESS_SECONDS = 0.5  # for an address of a name while there are others to try


class KeptConnections(httpx.AsyncBaseTransport):
    """Reaches one server only, whatever host a request names."""

    def __init__(
        self, url: httpx.URL, trusted: ssl.SSLContext | None, *, connect_s: float, read_s: float, kept_s: float
    ) -> None:
        """Connect to nothing yet; `trusted` is None where there is no TLS."""
        self._host, self._trusted = url.raw_host.decode("ascii"), trusted
        self._port = url.port or (80 if trusted is None else 443)
        self._connect_s, self._read_s, self._kept_s = connect_s, read_s, kept_s
        self._open: set[Connection] = set()
        self._idle: dict[Connection, None] = {}  # the last one was used last
        self._watches: dict[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The head of the answer, its body to come; closing the answer before its end closes the connection.

        A kept connection that ends before any byte of an answer is taken for one that the server had given up, and
        the request is sent again, once. Nothing that is asked here changes anything on the server.
        """
        kept = self._taken()
        if kept is not None:
            try:
                return await self._answer(kept, request)
            except (httpx.ReadError, httpx.RemoteProtocolError):
                if kept.heard:
                    raise
        return await self._answer(await self._connected(), request)

    async def aclose(self) -> None:
        """Close every connection of this event loop, at work or idle."""
        watch = self._watches.get(asyncio.get_running_loop())
        if watch is not None:
            await watch.aclose()
            await asyncio.sleep(0)  # sockets are closed in the next turn

    def give_back(self, connection: Connection) -> None:
        """Keep it for the next call, unless its answer was not read to a clean end or others seem to queue."""
        if self._others_wait_long(connection.loop.time()):
            connection.close()
        elif connection.keep(self._kept_s):
            self._idle[connection] = None

    async def _answer(self, connection: Connection, request: httpx.Request) -> httpx.Response:
        head = await connection.ask(request, self._read_s)
        return httpx.Response(head.status_code, headers=list(head.headers), stream=_Body(connection, self))

    def _others_wait_long(self, now: float) -> bool:
        """Servers with a thread for each connection answer nobody new while idle ones hold all threads.

        Only without TLS: behind it such servers are rare, and new connections dear.
        """
        since = [other.asked_at for other in self._open if other.asked_at is not None]
        return self._trusted is None and bool(since) and now - min(since) > PATIENCE_SECONDS

    def _taken(self) -> Connection | None:
        loop = asyncio.get_running_loop()
        for connection in [kept for kept in reversed(self._idle) if kept.loop is loop]:
            del self._idle[connection]
            if connection.wake():
                return connection
        return None

    async def _connected(self) -> Connection:
        await self._watch_loop()
        try:
            async with asyncio.timeout(self._connect_s):
                return await self._encrypted(await self._reached())
        except TimeoutError:
            raise httpx.ConnectTimeout("too slow") from None
        except OSError as error:
            raise httpx.ConnectError("not reached") from error

    async def _encrypted(self, reached: socket.socket) -> Connection:
        connection = Connection(self._forget)
        self._open.add(connection)
        name = None if self._trusted is None else self._host
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: connection, sock=reached, ssl=self._trusted, server_hostname=name)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _reached(self) -> socket.socket:
        """A socket to the first of the host's addresses that answers."""
        loop = asyncio.get_running_loop()
        *first, last = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, address in first:
            try:
                async with asyncio.timeout(ADDRESS_SECONDS):
                    return await _socket_to(socket.socket(family, kind, protocol), address)
            except OSError:  # a time-out is one, too
                continue
        return await _socket_to(socket.socket(*last[:3]), last[4])

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._idle.pop(connection, None)

    async def _watch_loop(self) -> None:
        """Have the event loop close our connections when it ends, also where nobody closes the engine."""
        loop = asyncio.get_running_loop()
        if loop not in self._watches:
            self._watches[loop] = self._until_the_end(loop)
            await anext(self._watches[loop])

    async def _until_the_end(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None, None]:
        """A generator at rest, which every event loop closes before its own end."""
        try:
            yield
        finally:
            self._watches.pop(loop, None)
            for connection in [connection for connection in self._open if connection.loop is loop]:
                connection.close()


def connections_to(url: str, connect_s: float, read_s: float, kept_s: float) -> KeptConnections:
    """With the usual authorities for https; none for http, where reading their certificates would be time lost."""
    server, trusted = httpx.URL(url), None
    if server.scheme == "https":
        trusted = httpx.create_ssl_context(trust_env=False)
        trusted.set_alpn_protocols(["http/1.1"])
    return KeptConnections(server, trusted, connect_s=connect_s, read_s=read_s, kept_s=kept_s)


class _Body(httpx.AsyncByteStream):
    """The body of one answer; no generator, so that closing it has happened when it returns."""

    def __init__(self, connection: Connection, home: KeptConnections) -> None:
        self._connection: Connection | None = connection
        self._home = home

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = None if self._connection is None else await self._connection.body()
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._home.give_back(connection)


async def _socket_to(unconnected: socket.socket, address: tuple[object, ...]) -> socket.socket:
    try:
        unconnected.setblocking(False)
        await asyncio.get_running_loop().sock_connect(unconnected, address)
    except BaseException:
        unconnected.close()
        raise
    return unconnected
