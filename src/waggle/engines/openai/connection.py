"""One connection to an HTTP/1.1 server, which carries one call after the other.

h11 reads and writes; this is the socket around it. Nothing that the server says is trusted: heads have a bound, every
wait for bytes has one, and unread bytes pause the socket. A connection carries another call only where the last answer
ended where it said it would, with no byte behind it. Bytes or an end that come while nobody asks close it at once. A
call that is cancelled, fails or is left early closes it too, so that the server stops.
"""

import asyncio
import selectors
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import h11
import httpx

MAX_HEAD_BYTES = 65_536
MAX_UNREAD_BYTES = 65_536
MAX_INTERIM_ANSWERS = 16  # such as "100 Continue"
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)  # one system call


class Connection(asyncio.Protocol):
    """Made by `loop.create_connection`; `heard` tells whether any byte of the present answer has come."""

    def __init__(self, forget: Callable[["Connection"], None]) -> None:
        """Wait for a socket; `forget` is called once, when the connection is closed from either side."""
        self.loop = asyncio.get_running_loop()
        self.heard = False
        self.asked_at: float | None = None
        """Since when the present call has waited for its first byte."""
        self._forget = forget
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._socket: asyncio.Transport | None = None
        self._is_idle = True
        self._is_closed = self._is_broken = self._is_paused = False
        self._unread = 0
        self._read_s = 0.0
        self._news: asyncio.Future[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None

    async def ask(self, request: httpx.Request, read_s: float) -> h11.Response:
        """Send a request and wait for the head of its answer, for at most `read_s` between any two bytes."""
        with self._closed_on_failure():
            self._is_idle, self._read_s, self.heard, self.asked_at = False, read_s, False, self.loop.time()
            self._send(request)
            for _ in range(MAX_INTERIM_ANSWERS):
                event = await self._event()
                if isinstance(event, h11.Response):
                    return event
            raise httpx.RemoteProtocolError("interim answers without end")

    async def body(self) -> bytes | None:
        """The next piece of the answer's body, None at its end."""
        with self._closed_on_failure():
            event = await self._event()
            return bytes(event.data) if isinstance(event, h11.Data) else None

    def keep(self, idle_s: float) -> bool:
        """Become idle, for at most `idle_s`, if another call can follow; close otherwise, and say False."""
        http, socket = self._http, self._living
        answered = http.our_state is h11.DONE and http.their_state is h11.DONE and http.trailing_data == (b"", False)
        if socket is None or not answered or socket.get_write_buffer_size():
            self.close()
            return False
        http.start_next_cycle()
        self._is_idle = True
        self._resume()
        self._expiry = self.loop.call_later(idle_s, self.close)
        return True

    def wake(self) -> bool:
        """Whether it can be asked; False, and closed, where the server has sent anything meanwhile, be it the end."""
        if self._expiry is not None:
            self._expiry.cancel()
        if self._living is None or _is_readable(self._living):
            self.close()
            return False
        return True

    def close(self) -> None:
        """At once, with whatever is unsent."""
        if self._socket is not None:
            self._socket.abort()
        self._end()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The server is reached."""
        self._socket = cast(asyncio.Transport, transport)  # uvloop's transports do not inherit from it
        if self._is_closed:
            self._socket.abort()

    def data_received(self, data: bytes) -> None:
        """Bytes came: of an answer, or of nothing that was asked."""
        if self._is_idle or self._is_closed:
            self.close()
            return
        self.heard, self.asked_at = True, None
        self._http.receive_data(data)
        self._unread += len(data)
        if self._unread > MAX_UNREAD_BYTES and self._socket is not None and not self._is_paused:
            self._is_paused = True
            self._socket.pause_reading()
        self._tell()

    def connection_lost(self, exc: Exception | None) -> None:
        """The server closed the connection, or we did; only an end without an error can end a body."""
        self._is_broken = exc is not None or self._is_closed
        if not self._is_broken:
            self._http.receive_data(b"")
        self._end()
        self._tell()

    @property
    def _living(self) -> asyncio.Transport | None:
        """The socket, unless it is closed or about to be."""
        return None if self._is_closed or self._socket is None or self._socket.is_closing() else self._socket

    def _send(self, request: httpx.Request) -> None:
        if self._living is None:
            raise httpx.WriteError("closed")
        http, target, headers = self._http, request.url.raw_path, request.headers.raw
        try:
            head = http.send(h11.Request(method=request.method, target=target, headers=headers))
            body = http.send(h11.Data(data=request.content)) if request.content else b""
            self._living.write(head + body + http.send(h11.EndOfMessage()))
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError("the request cannot be sent") from error

    async def _event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise httpx.RemoteProtocolError("not HTTP") from error
            if event is not h11.NEED_DATA:
                return event
            await self._more()

    async def _more(self) -> None:
        """Wait for bytes; all those that came are read."""
        if self._is_broken or self._is_closed:
            raise httpx.ReadError("closed")
        self._resume()
        self._news = self.loop.create_future()
        try:
            async with asyncio.timeout(self._read_s):
                await self._news
        except TimeoutError:
            raise httpx.ReadTimeout("silence") from None
        finally:
            self._news = None

    def _resume(self) -> None:
        self._unread = 0
        if self._is_paused and self._socket is not None and not self._is_closed:
            self._is_paused = False
            self._socket.resume_reading()

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _end(self) -> None:
        if not self._is_closed:
            self._is_closed, self.asked_at = True, None
            if self._expiry is not None:
                self._expiry.cancel()
            self._forget(self)

    @contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise


def _is_readable(transport: asyncio.Transport) -> bool:
    """Whether bytes or an end have come that the event loop has not read yet."""
    with _Selector() as selector:
        selector.register(transport.get_extra_info("socket"), selectors.EVENT_READ)
        return bool(selector.select(0))
