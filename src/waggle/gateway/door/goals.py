"""Where a person goes after signing in: to the page that was asked for, and never anywhere else.

The address travels through the sign-in form, so anybody may have written it. Only a path of this gateway in its normal
form is taken, and gone to only where this gateway has a page for people; everything else leads to the first page.
"""

import re
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from starlette.routing import Match, Mount

from waggle.gateway.door.asked import is_normal
from waggle.gateway.door.routes import LOGIN, LOGOUT, is_api

Scope = MutableMapping[str, Any]
FIRST, GOAL = "/", "next"
MOST_CHARACTERS = 512
QUERY = re.compile(r"[A-Za-z0-9%&=+._~-]*", re.ASCII)


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
    if len(text) > MOST_CHARACTERS or not path.startswith("/") or not QUERY.fullmatch(query):
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
