"""What the API's own description says beside the routes: keys, headers, and how the door turns requests away."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from waggle.gateway.chat.shapes import WaggleOptions

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

Description = dict[str, Any]


def complete_description(app: FastAPI) -> None:
    """Have the application's description say it too."""
    plain = app.openapi

    def openapi() -> Description:
        if app.openapi_schema is None:
            _complete(plain())
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI's own documentation shows


def _complete(description: Description) -> None:
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


def _own_headers() -> Iterator[Description]:
    """The object `waggle`, header by header."""
    for name, shape in WaggleOptions.model_json_schema()["properties"].items():
        plain = [choice for choice in shape["anyOf"] if choice.get("type") != "null"]
        header = f"X-Waggle-{name.replace('_', '-').title()}"
        words = f"As `waggle.{name}` in the body, which goes first."
        yield {"name": header, "in": "header", "required": False, "description": words, "schema": plain[0]}
