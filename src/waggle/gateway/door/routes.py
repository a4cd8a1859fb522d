"""Which right a path needs. Whatever is not named here needs the most: a new route is closed until it is opened."""

from enum import Enum

from waggle.gateway.keys.store import ADMIN, ASK

LIVE, READY = "/health/live", "/health/ready"
LOGIN, LOGOUT = "/login", "/logout"
DESCRIPTIONS = frozenset({"/metrics", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"})
API = "/v1/"


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
    return Need.ASK if path.startswith(API) else Need.ADMIN


def is_api(path: str) -> bool:
    """Whether programs call it, who show their key with every request; a page's session is worth nothing there."""
    return path.startswith(API)
