"""Who is calling: the key that a request shows, which right its path needs, and whether the key gives it.

Two ways only: `Authorization: Bearer KEY`, and for pages the session's cookie. A key that is shown is checked; where it
is wrong, nothing else counts. A path that is not named here needs the most: a new route is closed until it is opened.
"""

import re
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from waggle.core.errors import WaggleError
from waggle.gateway.door.asked import Asked, is_api, refused
from waggle.gateway.door.sessions import Sessions
from waggle.gateway.keys.store import ADMIN, ASK, KeyInfo

BEARER = re.compile(r"bearer +(\S{1,512})", re.IGNORECASE | re.ASCII)
SHOW = "Authorization: Bearer wk-..."
LIVE, READY = "/health/live", "/health/ready"
DESCRIPTIONS = frozenset({"/metrics", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"})


class Need(Enum):
    """What a caller must show."""

    NOTHING = "nothing"
    ANY_KEY = "any key"
    ASK = ASK
    ADMIN = ADMIN


def need_of(method: str, path: str, *, open_metrics: bool) -> Need:
    """What this request needs where keys are in use; the path is in its normal form."""
    reads = method in ("GET", "HEAD")
    if reads and (path == LIVE or (open_metrics and path in DESCRIPTIONS)):
        return Need.NOTHING
    if reads and path == READY:
        return Need.ANY_KEY
    return Need.ASK if is_api(path) else Need.ADMIN


class Keys(Protocol):
    """What is asked of a store of keys."""

    def needed(self) -> bool:
        """Whether callers need a key at all."""
        ...

    def check(self, text: str) -> KeyInfo | None:
        """The live key whose text this is."""
        ...

    def get(self, id: str) -> KeyInfo | None:  # noqa: A002
        """The live key of this id."""
        ...

    def has_live(self) -> bool:
        """Whether anybody can get in."""
        ...


class Callers:
    """Knows callers by the keys of one store."""

    def __init__(self, keys: Keys, sessions: Sessions) -> None:
        """Keys are looked up anew for every request, so that one that is revoked ends at once."""
        self._keys = keys
        self._sessions = sessions

    def are_checked(self) -> bool:
        """Whether callers need a key by now."""
        return self._keys.needed()

    def check(self, asked: Asked, need: Need) -> KeyInfo | None:
        """The key of a caller who may do this; None only where nothing is needed.

        Raises:
            ApiError: 401 without a key that holds, 403 where it may not, 503 where keys cannot be looked up.
        """
        if need is Need.NOTHING:
            return None
        key = self._looked_up(lambda: self._find(asked))
        if key is None:
            raise refused(401, _what_is_missing(asked.header(b"authorization")), "invalid_api_key")
        if need is not Need.ANY_KEY and need.value not in key.scopes:
            raise refused(403, f"this needs a key with the scope {need.value}", "insufficient_scope")
        return key

    def of_text(self, text: str) -> KeyInfo | None:
        """The key that this text is. Raises ApiError where keys cannot be looked up."""
        return self._looked_up(lambda: self._keys.check(text))

    def is_live(self, key: KeyInfo) -> bool:
        """Whether it has not been revoked meanwhile."""
        try:
            return self._keys.get(key.id) is not None
        except WaggleError:
            return False

    def _find(self, asked: Asked) -> KeyInfo | None:
        shown = asked.header(b"authorization")
        if shown is not None:
            found = BEARER.fullmatch(shown)
            return self._keys.check(found[1]) if found else None
        session = None if is_api(asked.path) else self._sessions.key_id(asked)
        return self._keys.get(session) if session else None

    @staticmethod
    def _looked_up(look: Callable[[], KeyInfo | None]) -> KeyInfo | None:
        try:
            return look()
        except WaggleError:
            raise refused(503, "keys cannot be checked now", "keys_unavailable") from None


def _what_is_missing(shown: str | None) -> str:
    """Why nobody is known by this header; the same for a key that was revoked and for one that never was."""
    if shown is None:
        return f"this needs an API key: {SHOW}"
    if BEARER.fullmatch(shown):
        return "that key is not known here: it may be misspelled or revoked"
    if " " not in shown.strip() and shown.strip().lower() != "bearer":
        return f"the Authorization header has no scheme: write Bearer before the key, as in {SHOW}"
    return f"the Authorization header holds no key: write {SHOW}"
