"""Node: what this node answers with, who may use it, its settings and where they came from, its newest log lines."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from fastapi import FastAPI
from nicegui import ui

from waggle.dashboard.frame.context import Context, page
from waggle.dashboard.frame.elements import box, empty_state, words
from waggle.dashboard.frame.layout import frame
from waggle.dashboard.frame.notices import down_words
from waggle.dashboard.frame.words import one_line, plain, short_id
from waggle.dashboard.settings_table import own_name, show_settings
from waggle.node.rounds.swarm import HERE
from waggle.node.services.service import ServedModel, Service

MOST_LINES = 200
LINE = 600  # characters
REFRESH_SECONDS = 2.0
LEAVE = "sessionStorage.clear()"
"""Who signs in next in this tab begins a conversation of their own."""


class KeyName(Protocol):
    """What is shown of a key; never its text."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def scopes(self) -> Sequence[str]:
        """What it may be used for."""
        ...

    @property
    def revoked(self) -> object:
        """Whether, or when, it was taken back."""
        ...


@runtime_checkable
class KeyNames(Protocol):
    """Who has keys."""

    def list(self) -> Sequence[KeyName]:
        """All keys."""
        ...


def add(app: FastAPI, context: Context) -> None:
    """Put the page on the app."""

    @page(app, "/node")
    def node() -> None:
        with frame("/node", "Node", "What this node answers with, who may use it, and how it is set up."):
            with box("grid2"):
                _engines(context.service, own_name(context))
                _keys(getattr(context.app.state, "keys", None))
            show_settings(context.settings)
            _log(context)


def _engines(service: Service, name: str) -> None:
    mine = own_engines(service)
    with box("card", "section"):
        words("Engines", "", "h2")
        if service.id != HERE:
            with box("card-note row", "p"):
                words(name, "", "strong")
                if name != short_id(service.id):
                    words(short_id(service.id), "mono", title=one_line(service.id, 128))
        if not mine and service.id != HERE:
            empty_state("hub", "No engine of its own", "This node asks others, and answers nobody itself.")
        elif not any(model.usable for model in mine):
            text = "No engine of this node answers. It says why when it is asked:"
            empty_state("power_off", "The engine is down", text, "waggle doctor", kind="bad")
        for model in mine:
            _engine(model)


def own_engines(service: Service) -> list[ServedModel]:
    """The models that this node itself has, also those that are down."""
    models = list(service.models())
    return models if service.id == HERE else [model for model in models if service.id in {*model.nodes, *model.down}]


def _engine(model: ServedModel) -> None:
    with box("listed"):
        with box("row apart"):
            words(one_line(model.name, 60), "", "strong")
            context_words = f"{model.context_tokens:,} tokens of context" if model.context_tokens else ""
            facts = " · ".join(filter(None, (one_line(model.family, 40), context_words)))
            words(facts if model.usable else "down", "dim small" if model.usable else "chip bad")
        for name, reason in down_words([model]):
            where = "" if name == one_line(model.name, 60) else f"{name}: "
            words(f"{where}{reason}", "bad-words words", "p")


def _keys(keys: object) -> None:
    with box("card", "section"):
        words("Keys", "", "h2")
        found = list(keys.list()) if isinstance(keys, KeyNames) else []
        if not found:
            text = "Whoever reaches this gateway may use it; it listens on this machine only."
            empty_state("key_off", "No keys are in use", text, "waggle key create NAME")
        for key in found:
            with box("row apart listed"):
                words(one_line(key.name, 60), "", "strong")
                with box("row").style("gap: .3rem"):
                    for scope in key.scopes:
                        words(one_line(scope, 20), "chip")
                    if key.revoked:
                        words("revoked", "chip bad")
        if found:
            with box("", "form", method="post", action="/logout", onsubmit=LEAVE).style("margin-top: .8rem"):
                words("Sign out", "plain-button", "button", type="submit")


def _log(context: Context) -> None:
    with box("card", "section"):
        words("Log, the newest first", "", "h2")
        if context.logs is None:
            empty_state("article", "No log to show", "This gateway writes its log elsewhere.")
            return
        place = box("log mono", tabindex="0", role="log", aria_label="Newest log lines")
        shown: list[tuple[str, ...]] = []
        source = context.logs

        def refresh() -> None:
            lines = tuple(reversed(source()[-MOST_LINES:]))
            if shown == [lines]:
                return
            shown[:] = [lines]
            place.clear()
            with place:
                for line in lines:
                    words(plain(line, LINE), "", "div")
                if not lines:
                    words("Nothing was logged yet.", "dim")

        refresh()
        ui.timer(REFRESH_SECONDS, refresh)
