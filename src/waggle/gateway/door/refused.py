"""How the guard turns a request away: an error in the shape of OpenAI's, whose text is always a constant of ours."""

import json
from collections.abc import Sequence

from waggle.gateway.telling.errors import LIMIT, REQUEST, SERVER, ApiError, error_body

AUTHENTICATION, PERMISSION = "authentication_error", "permission_error"
KINDS = {401: AUTHENTICATION, 403: PERMISSION, 429: LIMIT, 503: SERVER}
STAYING = (429,)
"""Elsewhere the connection is closed: a body may still be on its way that nobody will read."""


def refused(status: int, message: str, code: str, *, retry_after: float | None = None) -> ApiError:
    """Why a request stops at the door."""
    return ApiError(status, message, type=KINDS.get(status, REQUEST), code=code, retry_after=retry_after)


def reply_of(error: ApiError) -> tuple[Sequence[tuple[bytes, bytes]], bytes]:
    """Headers and body of the answer."""
    body = json.dumps(error_body(error)).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body))} | error.headers
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.status not in STAYING:
        headers["connection"] = "close"
    return [(name.encode(), value.encode()) for name, value in headers.items()], body
