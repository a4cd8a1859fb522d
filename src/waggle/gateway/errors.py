"""What went wrong, as OpenAI's clients expect to be told: a status, and a body with message, type, param and code.

The one place where errors of the house become answers of the gateway. What a node or an engine said of its failure
stays inside: it may name addresses and paths. Only words that are about the request itself are passed on.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from waggle.core.errors import EngineError, EngineRefused, MeshError, PeerBusy, UsageError, WaggleError
from waggle.gateway.admission import Busy

RETRY_SECONDS = 1.0  # where whoever is busy gave no estimate
LONGEST_MESSAGE = 500  # characters
LONGEST_PARAM = 120
REQUEST, LIMIT, SERVER = "invalid_request_error", "rate_limit_error", "server_error"


@dataclass(eq=False)
class ApiError(Exception):
    """An error to be told to the client. `type` and `code` are OpenAI's words, `param` the field that is at fault.

    Args:
        retry_after: seconds after which to try again.
    """

    status: int
    message: str
    type: str = field(default=REQUEST, kw_only=True)
    code: str | None = field(default=None, kw_only=True)
    param: str | None = field(default=None, kw_only=True)
    retry_after: float | None = field(default=None, kw_only=True)

    def __str__(self) -> str:
        return self.message

    @property
    def headers(self) -> dict[str, str]:
        """Headers that go with it: whole seconds, at least one."""
        return {} if self.retry_after is None else {"retry-after": str(max(1, math.ceil(self.retry_after)))}


def error_body(error: ApiError) -> dict[str, dict[str, str | None]]:
    """The body of an error's answer."""
    told = {"message": error.message[:LONGEST_MESSAGE], "type": error.type, "param": error.param, "code": error.code}
    return {"error": told}


def of_waggle(error: WaggleError | TimeoutError) -> ApiError:
    """What to tell of an error of the house."""
    match error:
        case UsageError():
            return ApiError(400, str(error))
        case PeerBusy() | Busy():
            return busy(error.retry_after)
        case TimeoutError():
            return ApiError(408, "the answer was not ready in time", type=SERVER, code="timeout")
        case EngineRefused():
            return ApiError(422, "the model cannot answer this: it may be too long for its context", code="refused")
        case EngineError() | MeshError():
            return unavailable()
        case _:
            return internal()


def busy(seconds: float | None = None) -> ApiError:
    """Nobody has room now."""
    wait = RETRY_SECONDS if seconds is None else seconds
    message = "everybody is busy: try again later"
    return ApiError(429, message, type=LIMIT, code="rate_limit_exceeded", retry_after=wait)


def unavailable(message: str = "no node could answer: try again later") -> ApiError:
    """Nobody is there, or nobody managed."""
    return ApiError(503, message, type=SERVER, code="unavailable")


def small_budget() -> ApiError:
    """A budget that pays for nothing."""
    param = "waggle.budget_tokens"
    return ApiError(400, f"{param} does not pay for a single answer", code="budget_too_small", param=param)


def few_tokens() -> ApiError:
    """Every model was cut off before it came to its answer."""
    message = "no model came to an answer within max_tokens: ask for more"
    return ApiError(400, message, code="max_tokens_too_small", param="max_tokens")


def internal() -> ApiError:
    """A bug of ours, of which nothing is told."""
    return ApiError(500, "the gateway failed at this request", type=SERVER, code="internal_error")


def of_status(status: int) -> ApiError:
    """An error of the framework itself, by its status alone."""
    match status:
        case 404:
            return ApiError(404, "there is nothing at this address", code="not_found")
        case 405:
            return ApiError(405, "this address does not take that method", code="method_not_allowed")
        case 413:
            return ApiError(413, "the body is too large", code="body_too_large")
        case status if 400 <= status < 500:
            return ApiError(status, "the request cannot be read", code="invalid_request")
        case _:
            return internal()


def unknown_model(name: str) -> ApiError:
    """A model that nobody offers."""
    message = f"the model {name[:LONGEST_PARAM]!r} does not exist: GET /v1/models lists those that do"
    return ApiError(404, message, code="model_not_found", param="model")


def unsupported(param: str, instead: str = "leave it out") -> ApiError:
    """A field that is known, and that this gateway cannot honour."""
    return ApiError(400, f"{param} is not supported here: {instead}", code="unsupported_parameter", param=param)


def invalid(faults: Sequence[Mapping[str, object]]) -> ApiError:
    """What to tell of a request that is not of the right shape; `faults` as pydantic lists them. The first counts."""
    first = faults[0] if faults else {}
    path = first.get("loc", ())
    param = param_of(path if isinstance(path, tuple | list) else ())
    kind, name = first.get("type"), param or "the body"
    if kind == "unsupported_parameter":
        return unsupported(name)
    if kind == "extra_forbidden":
        return ApiError(400, f"unknown field {name}", code="unknown_parameter", param=param)
    if kind == "missing":
        return ApiError(400, f"{name} is missing", code="missing_required_parameter", param=param)
    if kind == "json_invalid":
        return ApiError(400, "the body is not valid JSON", code="invalid_json")
    said = str(first.get("msg", "is not valid")).removeprefix("Value error, ")
    return ApiError(400, f"{name}: {said}", code="invalid_value", param=param)


def param_of(path: Sequence[object]) -> str | None:
    """A place in a body in OpenAI's words: ("body", "messages", 0, "user", "content") is `messages[0].content`.

    Words that stand for a choice between shapes follow a number or a name that they do not extend; they are in
    parentheses in our shapes' tags, and left out.
    """
    text = ""
    for step in path[1:] if path and path[0] in ("body", "query", "path", "header") else path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif not (str(step).startswith("(") and str(step).endswith(")")):
            text += f".{step}" if text else str(step)
    return text[:LONGEST_PARAM] or None
