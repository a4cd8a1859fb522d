"""What the pages show, in one value; and how a page is put on the app. No page keeps anything here."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from fastapi import FastAPI
from nicegui import APIRouter, ui

from waggle.core.asking import AskOptions
from waggle.core.round_values import Budget
from waggle.node.history.history import History
from waggle.node.services.service import Service

MOST_AT_ONCE = 16
"""Questions asked from pages that are answered at once where nothing else says; the others wait in line."""
BUILD_SECONDS = 30.0
"""How long building a page may take; on a busy machine it takes more than the library's own three."""
Place = Callable[[], AbstractAsyncContextManager[object]]
"""Room for one question: held while it is answered; may raise PeerBusy."""


def own_places() -> Place:
    """Room for some questions at once, for pages that share none with anybody."""
    places = asyncio.Semaphore(MOST_AT_ONCE)
    return lambda: places


@dataclass(frozen=True)
class Context:
    """The swarm and all that is known of this node; see `attach`."""

    app: FastAPI
    service: Service
    history: History | None
    quality: Path | None
    settings: Callable[[], Mapping[str, object]] | None
    logs: Callable[[], Sequence[str]] | None
    min_confidence: float = AskOptions().min_confidence
    budget: Budget = field(default_factory=Budget)
    place: Place = field(default_factory=own_places)


def page(app: FastAPI, path: str) -> ui.page:
    """The decorator that makes a function the page of a path of this app."""
    router = cast(APIRouter, app.router)
    return ui.page(path, api_router=router, include_in_schema=False, response_timeout=BUILD_SECONDS)
