"""HTTP to a server that may be slow, broken or hostile: every wait, body, line and retry has a bound.

Knows nothing of language models. Redirects are not followed (they would carry the key elsewhere), compressed bodies
are refused (a few bytes may unpack to gigabytes), of error answers the beginning is read, proxies, cookies and
passwords from the environment are not used. Whatever goes wrong is an `EngineError` of one sentence that says what to
do and holds no key.

A call has a connection to itself. Where its answer ended cleanly the connection is kept a moment for the next call
(`kept_connections`); however else a call ends, its connection ends with it, so that the server stops.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from email.utils import parsedate_to_datetime
from functools import lru_cache

import httpx
from msgspec import Struct

from waggle.core.carried import request_id
from waggle.core.errors import EngineRefused, EngineUnavailable, TooLong
from waggle.engines.openai.kept_connections import connections_to


class HttpBounds(Struct, frozen=True, kw_only=True):
    """How long to wait, how often to try again and how much to read.

    The wait before try n + 1 is `backoff_s * 2**n`, or what the server's Retry-After asks; a server that asks for more
    than `max_backoff_s` is given up. `read_s` bounds the silence before the first byte and between any two, `total_s`
    the whole call with all its tries. `kept_s` is how long an idle connection waits for the next call: less than
    servers wait, which is 5 s for uvicorn, Node.js and cpp-httplib.
    """

    connect_s: float = 5.0
    read_s: float = 120.0
    total_s: float = 600.0
    retries: int = 3
    backoff_s: float = 0.5
    max_backoff_s: float = 30.0
    max_body_bytes: int = 8 * 2**20
    max_line_bytes: int = 2**20
    max_connections: int = 16
    kept_s: float = 3.0


REASON_BYTES, REASON_SECONDS = 4_096, 2.0
_parsed = lru_cache(maxsize=64)(httpx.URL)
END_SECONDS = 0.1  # for the end of a body of which nothing more is wanted
SAYS_TOO_LONG = (b"context_length_exceeded", b"maximum context length", b"context size", b"context window")
"""How OpenAI, vLLM, llama.cpp's server and its Python binding say it, in small letters."""


class HttpRefused(EngineRefused):
    """The server answered with a status that trying again does not mend."""

    def __init__(self, status: int, sentence: str) -> None:
        """Remember the status beside the sentence."""
        super().__init__(sentence)
        self.status = status


class _ConnectionLost(EngineUnavailable):
    """Worth another try."""


class BoundedHttp:
    """One server at one base URL; `open_calls` counts the calls at work."""

    def __init__(
        self,
        base_url: str,
        bounds: HttpBounds,
        *,
        key: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Connect to nothing yet; `transport` replaces the sockets in tests."""
        self._headers = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "waggle"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"
        self._url, self._bounds = base_url.rstrip("/"), bounds
        self._transport = transport or connections_to(base_url, bounds.connect_s, bounds.read_s, bounds.kept_s)
        self._places = asyncio.Semaphore(bounds.max_connections)
        self._waits: set[asyncio.Timeout] = set()
        self._quiet = asyncio.Event()
        self._closed = False
        self.open_calls = 0

    async def fetch(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """A whole body of at most `max_body_bytes`."""
        async with self._call(method, path, body) as chunks:
            return b"".join([chunk async for chunk in chunks])

    async def lines(
        self, path: str, body: bytes, *, is_last: Callable[[bytes], bool] = lambda line: False
    ) -> AsyncGenerator[bytes, None]:
        """The body's lines as they arrive, without their ends, each of at most `max_line_bytes`.

        After a line that `is_last` the server has an instant to end the body; what it still sends is thrown away.
        """
        pending = bytearray()
        async with self._call("POST", path, body) as chunks:
            async for chunk in chunks:
                *ends, rest = chunk.split(b"\n")
                for end in ends:
                    line = self._line(pending + end)
                    pending.clear()
                    if is_last(line):
                        await _read_out(chunks)
                    yield line
                pending += rest
                self._check_line(pending)
        if pending:
            yield self._line(pending)

    def _line(self, line: bytearray) -> bytes:
        self._check_line(line)
        return bytes(line).rstrip(b"\r")

    def _check_line(self, line: bytearray) -> None:
        if len(line) > self._bounds.max_line_bytes:
            raise EngineRefused(f"{self._url} sent a line over {self._bounds.max_line_bytes} bytes: not usable")

    async def close(self) -> None:
        """End the calls at work with EngineUnavailable and close their connections."""
        self._closed = True
        for wait in [wait for wait in self._waits if not wait.expired()]:
            wait.reschedule(asyncio.get_running_loop().time())
        while self._waits:
            self._quiet.clear()
            await self._quiet.wait()  # for an instant: each of them was just told that its time is up
        await self._transport.aclose()

    @asynccontextmanager
    async def _call(self, method: str, path: str, body: bytes | None) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        """The answer's body; a connection that is left before the body's end is closed."""
        deadline = asyncio.get_running_loop().time() + self._bounds.total_s
        self.open_calls += 1
        try:
            async with self._bounded(deadline):
                await self._places.acquire()
            try:
                async with (
                    aclosing(await self._respond(self._request(method, path, body), deadline)) as response,
                    aclosing(self._chunks(response, deadline)) as chunks,
                ):
                    yield chunks
            finally:
                self._places.release()
        finally:
            self.open_calls -= 1

    def _request(self, method: str, path: str, body: bytes | None) -> httpx.Request:
        headers = self._headers if body is None else {**self._headers, "Content-Type": "application/json"}
        if request := request_id():
            headers = {**headers, "X-Request-Id": request}
        return httpx.Request(method, _parsed(self._url + path), content=body, headers=headers)

    async def _respond(self, request: httpx.Request, deadline: float) -> httpx.Response:
        """Try until the server says 200, for as long and as often as the bounds allow."""
        for attempt in range(self._bounds.retries + 1):
            asked_wait_s, trouble = None, ""
            try:
                response = await self._try_once(request, deadline)
            except _ConnectionLost as lost:
                trouble = str(lost)
            else:
                if response.status_code == 200:
                    return response
                said = await self._beginning(response, deadline)
                trouble, asked_wait_s = self._temporary(response, said), retry_after_s(response.headers)
            if attempt < self._bounds.retries:
                await self._pause(self._bounds.backoff_s * 2**attempt, asked_wait_s, trouble, deadline)
        raise EngineUnavailable(f"{trouble} (tried {self._bounds.retries + 1} times)")

    async def _try_once(self, request: httpx.Request, deadline: float) -> httpx.Response:
        async with self._bounded(deadline):
            return await self._transport.handle_async_request(request)

    async def _chunks(self, response: httpx.Response, deadline: float) -> AsyncGenerator[bytes, None]:
        """The body as it arrives, cut off with an error where it grows over `max_body_bytes`."""
        if response.headers.get("content-encoding", "identity") != "identity":
            raise EngineRefused(f"{self._url} sent a compressed body though asked not to: switch compression off there")
        body, received = _pieces(response), 0
        while True:
            chunk = None
            async with self._bounded(deadline):
                chunk = await anext(body, None)
            if chunk is None:
                return
            received += len(chunk)
            if received > self._bounds.max_body_bytes:
                raise EngineRefused(f"{self._url} sent more than {self._bounds.max_body_bytes} bytes: ask for less")
            yield chunk

    async def _pause(self, backoff_s: float, asked_wait_s: float | None, trouble: str, deadline: float) -> None:
        longest, left = self._bounds.max_backoff_s, deadline - asyncio.get_running_loop().time()
        wait_s = min(backoff_s, longest) if asked_wait_s is None else asked_wait_s
        if wait_s > min(longest, left):
            raise EngineUnavailable(f"{trouble}; the next try would come in {wait_s:.0f} s, later than allowed")
        async with self._bounded(deadline):
            await asyncio.sleep(wait_s)

    @asynccontextmanager
    async def _bounded(self, deadline: float) -> AsyncIterator[None]:
        """Every wait happens inside this: it ends at the deadline or on close, and translates foreign exceptions."""
        if self._closed:
            raise EngineUnavailable(f"the engine for {self._url} is closed: make a new one")
        try:
            async with asyncio.timeout_at(deadline) as wait:
                self._waits.add(wait)
                try:
                    yield
                finally:
                    self._waits.discard(wait)
                    self._quiet.set()
        except (TimeoutError, httpx.HTTPError, httpx.StreamError) as error:
            raise self._translated(error) from None

    def _translated(self, error: Exception) -> EngineUnavailable:
        url, bounds = self._url, self._bounds
        match error:
            case _ if self._closed:
                return EngineUnavailable(f"the engine for {url} was closed while it worked")
            case TimeoutError():
                return EngineUnavailable(f"{url} did not finish within {bounds.total_s:g} s: ask for fewer tokens")
            case httpx.ReadTimeout():
                return EngineUnavailable(f"{url} sent nothing for {bounds.read_s:g} s: is its model still loading?")
            case httpx.ConnectTimeout() | httpx.ConnectError():
                return _ConnectionLost(f"{url} cannot be reached: is the server running, and is that its address?")
            case httpx.TransportError():
                return _ConnectionLost(f"{url} broke the connection: look at the server's log")
            case _:
                return EngineUnavailable(f"{url} could not be read: look at the server's log")

    async def _beginning(self, response: httpx.Response, deadline: float) -> bytes:
        """The first bytes of what a server says of its refusal; the connection is closed where there are more."""
        said, body = b"", _pieces(response)
        try:
            async with self._bounded(min(deadline, asyncio.get_running_loop().time() + REASON_SECONDS)):
                while len(said) < REASON_BYTES and (chunk := await anext(body, None)) is not None:
                    said += chunk
        except EngineUnavailable:
            if self._closed:
                raise
        finally:
            await response.aclose()
        return said[:REASON_BYTES]

    def _temporary(self, response: httpx.Response, said: bytes) -> str:
        """What to say of a status worth another try; any other one is raised."""
        status, url = response.status_code, self._url
        if status == 413 or (status in (400, 422) and any(words in said.lower() for words in SAYS_TOO_LONG)):
            raise TooLong(f"the question is too long for {url}: more tokens than the model's context has")
        if status == 429 or (status >= 500 and status != 501):
            reason = "has too much to do" if status == 429 else "failed inside"
            return f"{url} {reason} (status {status}): try again later or look at its log"
        raise HttpRefused(status, f"{url} refused the call (status {status}): {_advice(status)}")


def retry_after_s(headers: httpx.Headers) -> float | None:
    """Seconds that a Retry-After header asks to wait (RFC 9110, 10.2.3), or None where it says nothing readable.

    A date is taken relative to the server's own Date header, so that no clock of ours comes into it.
    """
    said = headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        return float(said[:9])
    try:
        wait = parsedate_to_datetime(said) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError):
        return None
    return max(0.0, wait.total_seconds())


def _pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    assert isinstance(response.stream, httpx.AsyncByteStream)
    return aiter(response.stream)


async def _read_out(chunks: AsyncGenerator[bytes, None]) -> None:
    with suppress(TimeoutError, EngineRefused, EngineUnavailable):
        async with asyncio.timeout(END_SECONDS):
            async for _ in chunks:
                pass


def _advice(status: int) -> str:
    if 300 <= status < 400:
        return "redirects are not followed, so set the base URL to the final address"
    return {
        401: "name the environment variable that holds its key",
        403: "name the environment variable that holds its key",
        404: "check the base URL (it usually ends in /v1) and the model's name",
        413: "the question is too long for it",
    }.get(status, "check the model's name and that the question fits its context")
