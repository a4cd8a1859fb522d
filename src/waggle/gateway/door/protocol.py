"""uvicorn's HTTP connection with bounds on a request's head, which uvicorn leaves unbounded with its fast parser.

Without them one connection that needs no key could send headers without end, or nothing for ever. Bodies are bounded
later, by the guard, who knows how large they may be.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 64 * 1024
"""Twice what the guard lets through; also bounds headers after a body, and what stands between a body's chunks."""
HEAD_SECONDS = 15.0


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection whose request's head is too large, too slow, or meant for a proxy."""

    _bare = True  # a request has not yet come as far as its body
    _unread = 0  # bytes since the parser last gave a head or a part of a body out
    _gave = False  # whether it has given any out of the bytes that came last
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_watching()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, then see how much of it was neither a whole head nor a part of a body."""
        self._gave = False
        super().data_received(data)
        self._unread = 0 if self._gave else self._unread + len(data)
        if self._unread > MOST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")
        elif self._bare and self._timer is None:
            self._watch_head()

    def on_message_begin(self) -> None:
        """A request begins, perhaps the next one on this connection."""
        self._bare = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Hand the request on; the parser turns an exception into a 400."""
        self._bare, self._gave = False, True
        self._stop_watching()
        if not self.url.startswith(b"/"):
            raise ValueError("an address for a proxy")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hand a part of the body on."""
        self._gave = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request has come whole."""
        self._gave = True
        super().on_message_complete()

    def _watch_head(self) -> None:
        self._stop_watching()
        self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
