"""Signing in to the pages with an admin key: a form, and a signed cookie in place of the key for some hours.

The cookie holds the key's id and an end, signed with a secret that lives as long as the process. Scripts cannot read it
(HttpOnly) and no other site's page can make a browser send it (SameSite=Strict). Revoking the key ends its sessions.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from html import escape
from urllib.parse import parse_qs

from waggle.gateway.door.asked import Asked
from waggle.gateway.keys import KeyInfo

COOKIE = "waggle_session"
SESSION_SECONDS = 12 * 3_600
MOST_COOKIE_CHARACTERS = 200
MOST_FORM_BYTES = 4_096

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>waggle: sign in</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:24rem;margin:15vh auto;padding:0 1rem}
label,input,button{display:block;width:100%%;box-sizing:border-box;font:inherit}
input,button{padding:.5rem;margin:.5rem 0}
</style></head><body><main><h1>waggle</h1><p role="alert">%s</p>
<form method="post" action="/login"><label for="key">A key with the scope admin</label>
<input id="key" name="key" type="password" autocomplete="current-password" required autofocus>
<button>Sign in</button></form>
<p>Make one with <code>waggle key create NAME --scope admin</code>.</p></main></body></html>
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"


class Sessions:
    """Makes and reads the cookies of one process."""

    def __init__(self, *, now: Callable[[], float]) -> None:
        """`now` counts seconds and never goes back."""
        self._now = now
        self._secret = secrets.token_bytes(32)

    def open(self, key: KeyInfo, *, secure: bool) -> str:
        """The Set-Cookie header of a new session."""
        said = f"{key.id}.{int(self._now()) + SESSION_SECONDS}"
        return self._cookie(f"{said}.{self._sign(said)}", SESSION_SECONDS, secure=secure)

    def close(self, *, secure: bool) -> str:
        """The Set-Cookie header that makes a browser forget it."""
        return self._cookie("", 0, secure=secure)

    def key_id(self, asked: Asked) -> str | None:
        """The id of the key whose session the request's cookie is; None where it has none that holds."""
        value = _cookie_of(asked)
        said, _, signature = value.rpartition(".")
        if not said or not hmac.compare_digest(signature.encode(), self._sign(said).encode()):
            return None
        id, _, ends = said.partition(".")  # noqa: A001
        return id if self._now() < int(ends) else None

    def _sign(self, said: str) -> str:
        signature = hmac.digest(self._secret, said.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(signature).decode().rstrip("=")

    def _cookie(self, value: str, seconds: int, *, secure: bool) -> str:
        rules = f"Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}"
        return f"{COOKIE}={value}; {rules}{'; Secure' if secure else ''}"


def _cookie_of(asked: Asked) -> str:
    """Our cookie's value; nothing where it is there twice, since one of them may be planted."""
    pairs = (pair.strip().partition(b"=") for line in asked.headers.get(b"cookie", ()) for pair in line.split(b";"))
    values = [value for name, _, value in pairs if name == COOKIE.encode()]
    if len(values) != 1 or len(values[0]) > MOST_COOKIE_CHARACTERS:
        return ""
    return values[0].decode("ascii", "replace")


def key_of_form(body: bytes) -> str:
    """The key that was typed into the form; empty where there is none."""
    if len(body) > MOST_FORM_BYTES:
        return ""
    try:
        return parse_qs(body.decode("ascii"), max_num_fields=4).get("key", [""])[0].strip()
    except ValueError:
        return ""


def page(said: str = "") -> tuple[Sequence[tuple[bytes, bytes]], bytes]:
    """Headers and body of the form, with a word on what went wrong."""
    body = (PAGE % escape(said)).encode()
    headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-security-policy", POLICY.encode())]
    return [*headers, (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")], body
