"""What went wrong, as OpenAI's clients expect to be told: a status, and a body with message, type, param and code.

The one place where errors of the house become answers of the gateway. What a node or an engine said of its failure
stays inside: it may name addresses and paths. Only words that are about the request itself are passed on.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from waggle.core.errors import EngineError, EngineRefused, MeshError, PeerBusy, TooLong, UsageError, WaggleError

RETRY_SECONDS = 1.0  # where whoever is busy gave no estimate
LONGEST_MESSAGE = 500  # characters
LONGEST_PARAM = 120
LEAVE_OUT = "leave it out"
NO_OBJECT = "body_not_an_object"
OTHER_VALUES = ("model_attributes_type", "dict_type", "model_type")
"""What pydantic calls a value that is no object."""
OWN_ONLY = "only the log-probability of the token itself is known; ask for 0 or leave it out"
INSTEAD = {"top_logprobs": OWN_ONLY, "logprobs": OWN_ONLY}  # the older endpoint's logprobs is such a number too
REQUEST, LIMIT, SERVER = "invalid_request_error", "rate_limit_error", "server_error"
REPLY = "invalid_response_error"  # the answer is at fault, not the request


@dataclass(eq=False)
class ApiError(Exception):
    """An error to be told to the client. `type` and `code` are OpenAI's words, `param` the field that is at fault.

    Args:
        retry_after: seconds after which to try again.
        usage: tokens that were used all the same, as OpenAI tells them; empty = none.
        waggle: what is known of the answer that could not be given.
    """

    status: int
    message: str
    type: str = field(default=REQUEST, kw_only=True)
    code: str | None = field(default=None, kw_only=True)
    param: str | None = field(default=None, kw_only=True)
    retry_after: float | None = field(default=None, kw_only=True)
    usage: Mapping[str, int] = field(default_factory=dict, kw_only=True)
    waggle: Mapping[str, object] = field(default_factory=dict, kw_only=True)

    def __str__(self) -> str:
        return self.message

    @property
    def headers(self) -> dict[str, str]:
        """Headers that go with it: whole seconds, at least one."""
        return {} if self.retry_after is None else {"retry-after": str(_whole(self.retry_after))}


def in_seconds(seconds: float) -> str:
    """The same in words, as the header `Retry-After` says it: "1 s"."""
    return f"{_whole(seconds)} s"


def _whole(seconds: float) -> int:
    return max(1, math.ceil(seconds))


def error_body(error: ApiError) -> dict[str, Mapping[str, object]]:
    """The body of an error's answer; what it cost and what is known of it stand beside the error."""
    told = {"message": error.message[:LONGEST_MESSAGE], "type": error.type, "param": error.param, "code": error.code}
    beside = {"usage": error.usage, "waggle": error.waggle}
    return {"error": told} | {name: value for name, value in beside.items() if value}


def renamed(error: ApiError, names: Mapping[str, str]) -> ApiError:
    """The same error where the field at fault goes by another name: `names` by those it has here."""
    if error.param is None or error.param not in names:
        return error
    name = names[error.param]
    return replace(error, param=name, message=error.message.replace(error.param, name, 1))


def of_waggle(error: WaggleError | TimeoutError) -> ApiError:
    """What to tell of an error of the house."""
    match error:
        case UsageError():
            return ApiError(400, str(error))
        case PeerBusy():
            return busy(error.retry_after)
        case TimeoutError():
            return ApiError(408, "the answer was not ready in time", type=SERVER, code="timeout")
        case TooLong():
            return too_long()
        case EngineRefused():
            return refused()
        case EngineError() | MeshError():
            return unavailable()
        case _:
            return internal()


def busy(seconds: float | None = None) -> ApiError:
    """Nobody has room now."""
    wait = RETRY_SECONDS if seconds is None else seconds
    message = f"everybody is busy: try again in {in_seconds(wait)}"
    return ApiError(429, message, type=LIMIT, code="rate_limit_exceeded", retry_after=wait)


def unavailable(message: str = "no node could answer: try again later") -> ApiError:
    """Nobody is there, or nobody managed."""
    return ApiError(503, message, type=SERVER, code="unavailable")


def refused(message: str = "the model cannot do this", param: str | None = None) -> ApiError:
    """A model said no, and would say so again."""
    return ApiError(422, message, code="refused", param=param)


def too_long(param: str = "messages", most: int = 0) -> ApiError:
    """What is asked is longer than the context of every model that could answer; `most` tokens, where that is known."""
    room = f": the longest has {most} tokens" if most else ""
    message = f"{param}: this is longer than the context of every model that can be asked{room}"
    return ApiError(400, message, code="context_length_exceeded", param=param)


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


def unsupported(param: str, instead: str = LEAVE_OUT) -> ApiError:
    """A field that is known, and that this gateway cannot honour."""
    return ApiError(400, f"{param} is not supported here: {instead}", code="unsupported_parameter", param=param)


def invalid(faults: Sequence[Mapping[str, object]]) -> ApiError:
    """What to tell of a request that is not of the right shape; `faults` as pydantic lists them. The first counts."""
    first = faults[0] if faults else {}
    path = first.get("loc", ())
    param = param_of(path if isinstance(path, tuple | list) else ())
    kind, name = first.get("type"), param or "the body"
    if kind == "unsupported_parameter":
        return unsupported(name, INSTEAD.get(name, LEAVE_OUT))
    if kind == "extra_forbidden":
        return ApiError(400, f"unknown field {name}", code="unknown_parameter", param=param)
    if kind == "missing":
        return ApiError(400, f"{name} is missing", code="missing_required_parameter", param=param)
    if kind == "json_invalid":
        return ApiError(400, "the body is not valid JSON", code="invalid_json")
    if kind in OTHER_VALUES and param is None:
        return ApiError(400, "the body is not a JSON object", code=NO_OBJECT)
    said = str(first.get("msg", "is not valid")).removeprefix("Value error, ")
    return ApiError(400, f"{name}: {said}", code="invalid_value", param=param)


def fault(param: str, message: str) -> ApiError:
    """A value that cannot be worked with."""
    return ApiError(400, f"{param}: {message}", code="invalid_value", param=param)


def no_json_said() -> ApiError:
    """A body that does not say what it is, and so is not read as JSON."""
    message = "the body is not read as JSON: send the header Content-Type: application/json"
    return ApiError(400, message, code="invalid_content_type", param="Content-Type")


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
