"""Puts the gateway together: routes, guard, and what everything that goes wrong is answered with."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from waggle import __version__
from waggle.core.errors import WaggleError
from waggle.gateway import embeddings
from waggle.gateway.chat import routes as chat
from waggle.gateway.door.admission import Admission
from waggle.gateway.door.callers import Keys
from waggle.gateway.door.guard import Guard
from waggle.gateway.errors import NO_OBJECT, ApiError, error_body, internal, invalid, no_json_said, of_status, of_waggle
from waggle.gateway.options import GatewayOptions
from waggle.gateway.responses import routes as responses
from waggle.gateway.telling import models
from waggle.gateway.telling.description import complete_description
from waggle.gateway.telling.metrics import Metrics, Occupancy
from waggle.gateway.telling.observed import NamedCalls, ObservedCalls, ObservedService
from waggle.node.history.history import History
from waggle.node.observing.telemetry import Telemetry
from waggle.node.services.service import Service

ROUTERS = (chat.router, responses.router, models.router, embeddings.router)


def make_app(
    service: Service,
    options: GatewayOptions,
    *,
    keys: Keys | None = None,
    history: History | None = None,
    telemetry: Telemetry | None = None,
    occupancy: Occupancy | None = None,
) -> FastAPI:
    """The gateway to a swarm.

    Args:
        keys: who may use it; None = whoever can reach it, which is allowed on the machine itself only.
        history: where rounds are kept; None = nowhere.
        telemetry: where spans are sent; None = nowhere.
        occupancy: tells how full the engines' batches are, for the metrics.
    """
    app = FastAPI(
        title="waggle",
        version=__version__,
        summary="A swarm of language models as an OpenAI-compatible endpoint.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    admission = Admission.of(options)
    metrics = Metrics(service, admission, occupancy)
    app.state.service = ObservedService(service, metrics, telemetry)
    app.state.options, app.state.keys, app.state.history = options, keys, history
    app.state.admission, app.state.metrics = admission, metrics
    for router in (*ROUTERS, metrics.router):
        app.include_router(router)
    complete_description(app)
    for kind in (ApiError, WaggleError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _told)
    app.add_middleware(NamedCalls)  # the last one added is the first to see a request
    app.add_middleware(Guard, options=options, keys=keys)
    app.add_middleware(ObservedCalls, metrics=metrics, telemetry=telemetry)
    return app


def as_api_error(error: Exception) -> ApiError:
    """What a client is told of an exception: of one that nobody expected, nothing."""
    match error:
        case ApiError():
            return error
        case WaggleError() | TimeoutError():
            return of_waggle(error)
        case RequestValidationError():
            return invalid(error.errors())
        case HTTPException():
            return of_status(error.status_code)
        case _:
            return internal()


async def _told(request: Request, error: Exception) -> JSONResponse:
    told = as_api_error(error)
    if told.code == NO_OBJECT and not _says_json(request):
        told = no_json_said()
    allowed = error.headers or {} if isinstance(error, HTTPException) else {}  # which methods there are
    return JSONResponse(error_body(told), told.status, {**allowed, **told.headers})


def _says_json(request: Request) -> bool:
    """Whether the body is said to be JSON, by any of its names."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")
