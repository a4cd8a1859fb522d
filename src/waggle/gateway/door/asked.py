"""What stands before the gateway's door: the facts of one request that the guard decides on, and what it is called.

Where two readings of a request are possible (a header twice, a path not in its normal form, two ways to say how long
the body is), it is refused: what the guard checks and what the routes see are then always the same thing.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

from starlette.types import Scope

from waggle.gateway.errors import LIMIT, REQUEST, SERVER, ApiError

API = "/v1/"
MOST_HEADERS = 128
MOST_HEADER_BYTES = 32 * 1024
MOST_TARGET_BYTES = 8 * 1024
ONCE = (b"host", b"authorization", b"origin", b"content-length", b"transfer-encoding", b"sec-fetch-site")
ODD = re.compile(r"//|\\|[\x00-\x20\x7f#?\ufffd]|(^|/)\.{1,2}(/|$)")
ODD_ENCODED = re.compile(rb"%(2e|5c|25)|[\x00-\x20\\#\x7f-\xff]", re.IGNORECASE)
ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
LONGEST_ID = 36
MOST_REMEMBERED = 50_000
KINDS = {401: "authentication_error", 403: "permission_error", 429: LIMIT, 503: SERVER}


def refused(status: int, message: str, code: str, *, retry_after: float | None = None) -> ApiError:
    """Why a request stops at the door; the text is always a constant of ours."""
    return ApiError(status, message, type=KINDS.get(status, REQUEST), code=code, retry_after=retry_after)


def is_api(path: str) -> bool:
    """Whether programs call it, who show their key with every request; a page's session is worth nothing there."""
    return path.startswith(API)


@dataclass(frozen=True)
class Asked:
    """One request or one socket's opening; header names in lower case, every header of `ONCE` at most once."""

    method: str
    path: str
    scheme: str
    server: str
    headers: Mapping[bytes, Sequence[bytes]]

    def header(self, name: bytes) -> str | None:
        """The first value of a header, or None."""
        values = self.headers.get(name)
        return values[0].decode("latin-1") if values else None

    @property
    def changes(self) -> bool:
        """Whether it may change something."""
        return self.method not in ("GET", "HEAD", "OPTIONS")


def read_asked(scope: Scope) -> Asked:
    """The facts of an ASGI scope of type http or websocket.

    Raises:
        ApiError: headers too many, too large or twice; a path that is not in its normal form.
    """
    headers = _read_headers(scope["headers"])
    path, raw_path = scope["path"], scope.get("raw_path") or scope["path"].encode("latin-1", "replace")
    if len(raw_path) + len(scope.get("query_string", b"")) > MOST_TARGET_BYTES:
        raise refused(414, "the address is too long", "uri_too_long")
    if not is_normal(path, raw_path):
        raise refused(400, "the path is not in its normal form", "bad_path")
    server = scope.get("server") or ("", None)
    method = scope.get("method", "GET")
    return Asked(method=method, path=path, scheme=scope.get("scheme", "http"), server=str(server[0]), headers=headers)


def _read_headers(pairs: Sequence[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    if len(pairs) > MOST_HEADERS or sum(len(name) + len(value) for name, value in pairs) > MOST_HEADER_BYTES:
        raise refused(431, "too many or too large headers", "headers_too_large")
    headers: dict[bytes, list[bytes]] = {}
    for name, value in pairs:
        headers.setdefault(name.lower(), []).append(value)
    for name in ONCE:
        if len(headers.get(name, ())) > 1:
            raise refused(400, f"more than one {name.decode()} header", "repeated_header")
    if b"content-length" in headers and b"transfer-encoding" in headers:
        raise refused(400, "two lengths for one body", "two_lengths")
    return headers


def is_normal(path: str, raw_path: bytes) -> bool:
    """Whether a path is spelled in the one way that leaves nothing to resolve.

    The first segment, which says whose right is needed, must not be encoded at all; later ones may hold encoded
    characters (a model's name in /v1/models/solo%2Fqwen), but no dots, backslashes, percent signs or spaces.
    """
    if not path.startswith("/") or ODD.search(path) or ODD_ENCODED.search(raw_path):
        return False
    first = path.split("/", 2)[1].encode("utf-8", "replace")
    return raw_path.split(b"/", 2)[1] == first


class RequestIds:
    """Names requests, from the HTTP header to the round and its record: 32 hexadecimal digits.

    A caller may name its request itself, with 32 digits or a UUID. A name that was used a while ago, by whomever, is
    not taken again: rounds and records are kept under it, and one caller's must not be confused with another's. Only
    requests that were let in use a name, so that nobody without a key can use up the names of others, or have them
    forgotten.
    """

    def __init__(self) -> None:
        """No names yet."""
        self._used: OrderedDict[str, None] = OrderedDict()

    def name(self, wanted: Sequence[bytes]) -> str:
        """The caller's own name where it is one and new (`wanted` holds its X-Request-ID headers), else one of ours."""
        own = _read(wanted)
        return uuid4().hex if own is None or own in self._used else own

    def use(self, name: str) -> None:
        """Never give this name again, for as long as it is remembered."""
        self._used[name] = None
        if len(self._used) > MOST_REMEMBERED:
            self._used.popitem(last=False)


def _read(wanted: Sequence[bytes]) -> str | None:
    if len(wanted) != 1 or len(wanted[0]) > LONGEST_ID:
        return None
    text = wanted[0].decode("latin-1")
    return text.replace("-", "").lower() if ID.fullmatch(text) else None
