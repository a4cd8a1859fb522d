"""Signing in to the pages with an admin key: a form, and a signed cookie in place of the key for some hours.

The cookie holds the key's id and an end, signed with a secret that lives as long as the process. Scripts cannot read it
(HttpOnly) and no other site's page can make a browser send it (SameSite=Strict). Revoking the key ends its sessions.

After signing in a person goes to the page that was asked for, and never anywhere else. Its address travels through the
form, so anybody may have written it: only a path of this gateway in its normal form is taken, and gone to only where
this gateway has a page for people. Everything else leads to the first page.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from html import escape
from urllib.parse import parse_qs, quote, unquote

from starlette.routing import Match, Mount
from starlette.types import Scope

from waggle.gateway.door.asked import Asked, is_api, is_normal
from waggle.gateway.keys.store import KeyInfo

LOGIN, LOGOUT = "/login", "/logout"
FIRST, GOAL = "/", "next"
MOST_GOAL_CHARACTERS = 512
QUERY = re.compile(r"[A-Za-z0-9%&=+._~-]*", re.ASCII)
COOKIE = "waggle_session"
SESSION_SECONDS = 12 * 3_600
MOST_COOKIE_CHARACTERS = 200
MOST_FORM_BYTES = 4_096

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sign in · waggle</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
:root{color-scheme:light dark;--paper:#faf7f0;--panel:#fff;--line:#e3dccb;--edge:#8d8268;--ink:#211c12;--dim:#6b6250;
--focus:#9a6700;--bad:#b3261e;--wash:#fbe6e3;--sunk:#f3eee2}
@media (prefers-color-scheme:dark){:root{--paper:#14120d;--panel:#1e1b15;--line:#38332a;--edge:#7d735d;--ink:#f2ede1;
--dim:#aaa08c;--focus:#f5c75f;--bad:#ff8a80;--wash:#3b1a17;--sunk:#17150f}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1rem;background:var(--paper);color:var(--ink);
font:16px/1.5 Roboto,system-ui,sans-serif}
main{width:100%%;max-width:25rem;padding:1.6rem 1.7rem;border:1px solid var(--line);border-radius:16px;
background:var(--panel);box-shadow:0 4px 24px #3b2f1014}
h1{display:flex;align-items:center;gap:.6rem;margin:0 0 1rem;font-size:1.4rem;letter-spacing:-.01em}h1 svg{width:34px}
label{display:block;font-size:.9rem;color:var(--dim)}
input,button{display:block;width:100%%;font:inherit;border-radius:9px;padding:.6rem .75rem}
input{margin:.3rem 0 .8rem;border:1px solid var(--edge);background:var(--panel);color:var(--ink)}
button{border:0;background:#e9a820;color:#221800;font-weight:600;cursor:pointer}
:focus-visible{outline:2px solid var(--focus);outline-offset:2px}
[role=alert]:not(:empty){padding:.6rem .8rem;margin:0 0 1rem;border-radius:9px;background:var(--wash);color:var(--bad)}
[role=alert]:empty{display:none}.hint{margin:1.1rem 0 0;font-size:.86rem;color:var(--dim)}
code{display:block;margin-top:.3rem;padding:.45rem .7rem;border-radius:8px;background:var(--sunk);color:var(--ink);
border:1px solid var(--line);font:.85rem ui-monospace,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
</style></head><body><main><h1><svg viewBox="0 0 24 24" aria-hidden="true">
<path d="M12 2 20.7 7v10L12 22 3.3 17V7z" fill="#e9a820"/><path d="M7 10h10M7 14h10" stroke="#221800" stroke-width="2"/>
</svg>waggle</h1><p role="alert">%s</p>
<form method="post" action="/login"><input type="hidden" name="next" value="%s">
<label for="key">A key with the scope admin</label>
<input id="key" name="key" type="password" autocomplete="current-password" required autofocus>
<button>Sign in</button></form>
<p class="hint">To make one, on the machine of this gateway: <code>waggle key create NAME --scope admin</code></p>
</main></body></html>
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


def page(said: str = "", goal: str = FIRST) -> tuple[Sequence[tuple[bytes, bytes]], bytes]:
    """Headers and body of the form, with a word on what went wrong; `goal` is the page to go to afterwards."""
    body = (PAGE % (escape(said), escape(goal))).encode()
    headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-security-policy", POLICY.encode())]
    return [*headers, (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")], body


def sign_in_address(scope: Scope) -> str:
    """The sign-in form's address for somebody who asked for this page."""
    query = str(scope.get("query_string", b""), "latin-1")
    raw = scope.get("raw_path") or scope["path"].encode("latin-1", "replace")
    goal = read_goal(str(raw, "latin-1") + (f"?{query}" if query else ""))
    return LOGIN if goal == FIRST else f"{LOGIN}?{GOAL}={quote(goal, safe='/')}"


def goal_of(form: bytes) -> str:
    """The page that a form, or a query, names; the first page where it names none that can be one of ours."""
    try:
        given = parse_qs(form.decode("ascii"), max_num_fields=4).get(GOAL, [FIRST])
    except ValueError:
        return FIRST
    return read_goal(given[0]) if len(given) == 1 else FIRST


def read_goal(text: str) -> str:
    """The address, where it is a path in its normal form that a page may have; else the first page."""
    path, _, query = text.partition("?")
    if len(text) > MOST_GOAL_CHARACTERS or not path.startswith("/") or not QUERY.fullmatch(query):
        return FIRST
    plain = unquote(path)
    if not path.isascii() or not is_normal(plain, path.encode()) or is_api(plain) or plain in (LOGIN, LOGOUT):
        return FIRST
    return text


def existing(scope: Scope, goal: str) -> str:
    """The goal, where this gateway has such a page; else the first page."""
    asked = {"type": "http", "method": "GET", "path": unquote(goal.partition("?")[0]), "root_path": "", "headers": []}
    routes = getattr(scope.get("app"), "routes", ())
    found = any(not isinstance(route, Mount) and route.matches(asked)[0] is Match.FULL for route in routes)
    return goal if found else FIRST
