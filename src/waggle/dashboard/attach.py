"""Puts the pages on the gateway's own app: pages are routes of that app, only the page library's assets are mounted.

Two apps of one process do not share pages; what the library keeps for itself is kept once. Paths that are neither a
page nor an asset stay the app's own, with its own errors.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fastapi import FastAPI
from nicegui import app as library
from nicegui import core, ui
from starlette.routing import Match, Mount
from starlette.types import Scope

from waggle.core.asking import AskOptions
from waggle.core.round_values import Budget
from waggle.dashboard import node_page
from waggle.dashboard.ask import page as ask_page
from waggle.dashboard.ask.asking import MOST_SECONDS
from waggle.dashboard.frame import missing_page
from waggle.dashboard.frame.context import Context, Place, own_places
from waggle.dashboard.frame.theme import FAVICON
from waggle.dashboard.quality import page as quality_page
from waggle.dashboard.rounds import page as rounds_page
from waggle.dashboard.rounds import record_page
from waggle.dashboard.swarm import page as swarm_page
from waggle.node.history.history import History
from waggle.node.services.service import Service

ASSETS = ("/_nicegui/", "/_nicegui_ws/")
RECONNECT_SECONDS = 8.0
"""How long a page may be away before it is forgotten; phones sleep for a moment."""


class Assets(Mount):
    """The page library's files and its web socket, and nothing else of it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Only paths below `ASSETS`."""
        if scope["type"] in ("http", "websocket") and _path(scope).startswith(ASSETS):
            return super().matches(scope)
        return Match.NONE, {}


def _path(scope: Scope) -> str:
    """The path within this app, wherever that is mounted itself."""
    return str(scope["path"]).removeprefix(str(scope.get("root_path", "")))


def attach(
    app: FastAPI,
    service: Service,
    *,
    history: History | None,
    quality: Path | None = None,
    settings: Callable[[], Mapping[str, object]] | None = None,
    logs: Callable[[], Sequence[str]] | None = None,
    place: Place | None = None,
) -> None:
    """Add the dashboard to an app that is not running yet.

    Args:
        history: where finished rounds are kept; None keeps none.
        quality: the file that `waggle bench quality --json` wrote, read again whenever the page opens.
        settings: gives a value and where it came from, by name of the setting.
        logs: gives the newest lines of the log.
        place: room for one question from a page, fair to other callers; None bounds the pages alone.
    """
    options = getattr(app.state, "options", AskOptions())  # the gateway's own, where it is one
    context = Context(
        app=app,
        service=service,
        history=history,
        quality=quality,
        settings=settings,
        logs=logs,
        min_confidence=float(options.min_confidence),
        budget=_budget_of(options),
        place=place or own_places(),
    )
    for module in (ask_page, swarm_page, rounds_page, record_page, quality_page, node_page):
        module.add(app, context)
    missing_page.add(app)
    _mount(app)


def _budget_of(options: object) -> Budget:
    """What a question may cost where nobody says, and what the form on the page begins with."""
    seconds = float(getattr(options, "budget_seconds", Budget().seconds))
    return Budget(seconds=min(seconds, MOST_SECONDS), tokens=getattr(options, "budget_tokens", None))


def _mount(app: FastAPI) -> None:
    # Looking for its server, the library touches every object there is, torch's deprecated ones too.
    warnings.filterwarnings("ignore", message="`torch.distributed.reduce_op`", category=FutureWarning)
    library.user_middleware.clear()  # the library is one for the process: a second app must find it as the first did
    library.middleware_stack = None
    core.sio.eio.cors_allowed_origins = None  # pages of other origins may not open the web socket
    ui.run_with(
        app,
        title="waggle",
        favicon=FAVICON,
        dark=None,
        language="en-US",
        tailwind=False,
        binding_refresh_interval=None,
        reconnect_timeout=RECONNECT_SECONDS,
        show_welcome_message=False,
    )
    mounted = app.router.routes.pop()
    assert isinstance(mounted, Mount)
    app.router.routes.append(Assets(mounted.path, app=mounted.app))
