"""What the API's own description says beside the routes: keys, headers, errors, and what all answers hold.

Answers are not checked against these shapes: the tests do that.
"""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from waggle.gateway.shapes import WaggleOptions

KEY = {"type": "http", "scheme": "bearer", "description": "A key of `waggle key create`; none where there are no keys."}
REQUEST_ID = {
    "name": "X-Request-Id",
    "in": "header",
    "required": False,
    "description": "What the request is called everywhere: 32 hexadecimal digits or a UUID. Another one is replaced.",
    "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
}
AT_THE_DOOR = {
    "414": "The address is too long",
    "421": "The Host header names another machine",
    "431": "Too many or too large headers",
}
ASKING = ("/v1/chat/completions", "/v1/completions", "/v1/responses")


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorResponse(BaseModel):
    """The body of every answer that is none."""

    error: ErrorDetail


class SpentShape(BaseModel):
    """The same by purpose, `wasted_tokens` for calls that came to nothing; `prompt_tokens` are among these three."""

    proposing_tokens: int
    judging_tokens: int
    wasted_tokens: int = 0
    prompt_tokens: int
    seconds: float


class WaggleShape(BaseModel):
    """What OpenAI has no field for. With `explain` there is more: candidates, ballots, failed, confusion_p, reason.

    `strategy` is committee, vote, best (one node, chosen) or solo (one model, named). `confidence` is the calibrated
    probability that the swarm's answer is right, `self_confidence` what a model alone thinks of its own words.
    `best_guess` is what an abstention is unsure of; null where nothing that was written can be used.
    """

    round_id: str
    strategy: str
    confidence: float | None
    abstained: bool
    spent: SpentShape
    best_guess: str | None = None
    supporters: list[str] = []
    runner_up: str | None = None
    model: str | None = None
    self_confidence: float | None = None


Described = dict[int | str, dict[str, Any]]
ERRORS: Described = {
    status: {"model": ErrorResponse, "description": words}
    for status, words in {
        400: "The request cannot be done",
        401: "No valid key",
        403: "The key may not do this",
        404: "No such model",
        408: "Not ready in time",
        413: "Too large",
        422: "No answer of the form asked for",
        429: "Too many requests: try again after Retry-After seconds",
        500: "The gateway failed",
        503: "Nobody can answer now",
    }.items()
}
ANSWERS: Described = {
    200: {"description": "The answer, whole or as a stream", "content": {"text/event-stream": {}}},
    **ERRORS,
}


def complete_description(app: FastAPI) -> None:
    """Have the application's description say it too."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(plain())
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI's own documentation shows


def _complete(description: dict[str, Any]) -> None:
    description.setdefault("components", {})["securitySchemes"] = {"key": KEY}
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}}
    for path, methods in description["paths"].items():
        for operation in methods.values():
            if path.startswith("/v1/"):
                operation["security"] = [{"key": []}, {}]
                operation["responses"] |= {
                    status: {"description": words, "content": error} for status, words in AT_THE_DOOR.items()
                }
                operation.setdefault("parameters", []).append(REQUEST_ID)
            if path in ASKING:
                operation["parameters"] += list(_own_headers())


def _own_headers() -> Iterator[dict[str, Any]]:
    """The object `waggle`, header by header."""
    for name, shape in WaggleOptions.model_json_schema()["properties"].items():
        plain = [choice for choice in shape["anyOf"] if choice.get("type") != "null"]
        header = f"X-Waggle-{name.replace('_', '-').title()}"
        words = f"As `waggle.{name}` in the body, which goes first."
        yield {"name": header, "in": "header", "required": False, "description": words, "schema": plain[0]}
