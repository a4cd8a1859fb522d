"""What a browser is shown at an address where nothing is; programs get the app's own error."""

import inspect

from fastapi import FastAPI, Request, Response
from nicegui import Client, ui
from starlette.exceptions import HTTPException

from waggle.dashboard.frame.elements import empty_state, link
from waggle.dashboard.frame.layout import frame

NOT_FOUND = 404
PROGRAMS = ("/v1/", "/health/", "/_nicegui")
"""Addresses that no person opens."""


def add(app: FastAPI) -> None:
    """Put the page before what the app itself answers with."""
    told = app.exception_handlers[HTTPException]

    async def answer(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code == NOT_FOUND and is_person(request):
            return _page(request)
        reply = told(request, error)
        return await reply if inspect.isawaitable(reply) else reply

    app.add_exception_handler(HTTPException, answer)


def is_person(request: Request) -> bool:
    """Whether somebody looks at this with a browser."""
    reads = request.method in ("GET", "HEAD") and "text/html" in request.headers.get("accept", "")
    return reads and not request.url.path.startswith(PROGRAMS)


def _page(request: Request) -> Response:
    with Client(ui.page(""), request=request) as client:
        with frame("", "Nothing is here", heading=False):
            text = "This gateway has no page at this address."
            with empty_state("explore_off", "Nothing is here", text):
                link("Ask the swarm", "/")
        return client.build_response(request, NOT_FOUND)
