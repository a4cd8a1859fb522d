"""Which web pages may use the gateway from a browser: its own, and those on the list; never all.

A browser says in Origin and Sec-Fetch-Site whose page a request comes from; a page cannot forge either. Programs that
are no browsers send neither and are not held up here. Without this rule any page that a person visits could drive a
gateway without keys on that person's own machine.
"""

import re
from collections.abc import Sequence

from waggle.gateway.door.asked import Asked, refused

OWN = (None, "same-origin", "none")  # "none": typed by the person
METHODS = b"GET, POST"
SENT_HEADERS = frozenset({"authorization", "content-type", "x-request-id", "idempotency-key", "user-agent"})
SENT_PREFIXES = ("x-waggle-", "x-stainless-", "openai-")
NAME = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
EXPOSED = b"x-request-id, retry-after"
PREFLIGHT_SECONDS = b"600"
Headers = Sequence[tuple[bytes, bytes]]


class Origins:
    """The pages that may call."""

    def __init__(self, allowed: Sequence[str]) -> None:
        """Origins as a browser writes them: scheme://name[:port]. An asterisk or `null` is nobody's origin."""
        self._allowed = frozenset(allowed) - {"*", "null"}

    def check(self, asked: Asked, *, socket: bool) -> Headers:
        """The CORS headers of the answer: none, but for a page on the list.

        Raises:
            ApiError: the request comes from a page that is not ours and not on the list.
        """
        origin = asked.header(b"origin")
        if origin is not None and origin in self._allowed:
            return [
                (b"access-control-allow-origin", origin.encode("latin-1")),
                (b"access-control-expose-headers", EXPOSED),
                (b"vary", b"Origin"),
            ]
        if origin is not None and not _is_own(origin, asked):
            raise refused(
                403,
                "web pages of this origin may not use the gateway: --gateway-origin lets them",
                "bad_origin",
            )
        if origin is None and asked.header(b"sec-fetch-site") not in OWN and (socket or not _is_visit(asked)):
            raise refused(403, "requests of other web pages are not answered", "cross_site")
        return ()


def preflight_headers(asked: Asked) -> Headers:
    """What a page on the list may send, where its browser asks: OpenAI's clients' headers and ours."""
    if not is_preflight(asked):
        return ()
    wanted = (asked.header(b"access-control-request-headers") or "").lower().replace(" ", "").split(",")
    known = [name for name in wanted if name in SENT_HEADERS or name.startswith(SENT_PREFIXES)]
    granted = [name for name in known if NAME.fullmatch(name)]
    return [
        (b"access-control-allow-methods", METHODS),
        (b"access-control-allow-headers", ", ".join(granted).encode("latin-1")),
        (b"access-control-max-age", PREFLIGHT_SECONDS),
    ]


def is_preflight(asked: Asked) -> bool:
    """Whether a browser asks if it may send the real request."""
    return (
        asked.method == "OPTIONS" and b"origin" in asked.headers and b"access-control-request-method" in asked.headers
    )


def _is_own(origin: str, asked: Asked) -> bool:
    """Our own page; behind a proxy that ends TLS, the browser says https where we see http."""
    host = (asked.header(b"host") or "").lower()
    return origin in (f"https://{host}", f"{'https' if asked.scheme in ('https', 'wss') else 'http'}://{host}")


def _is_visit(asked: Asked) -> bool:
    """A person followed a link to us, which shows a page and changes nothing."""
    navigates = asked.header(b"sec-fetch-mode") == "navigate" and asked.header(b"sec-fetch-dest") == "document"
    return navigates and asked.method in ("GET", "HEAD")
