"""Node: what this node answers with, who may use it, its settings and where they came from, its newest log lines."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from fastapi import FastAPI
from nicegui import ui

from waggle.core.errors import WaggleError
from waggle.dashboard.frame.context import Context, page
from waggle.dashboard.frame.down_notice import down_words
from waggle.dashboard.frame.elements import box, empty_state, words
from waggle.dashboard.frame.layout import frame
from waggle.dashboard.frame.words import one_line, plain, short_id
from waggle.node.services.local import HERE
from waggle.node.services.service import ServedModel, Service

MOST_LINES = 200
LINE = 600  # characters
REFRESH_SECONDS = 2.0
UNSET = ("default", "")


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
                _engines(context.service)
                _keys(getattr(context.app.state, "keys", None))
            _settings(context)
            _log(context)


def _engines(service: Service) -> None:
    mine = own_engines(service)
    with box("card", "section"):
        words("Engines", "", "h2")
        words(f"Node {short_id(service.id)}", "card-note mono", "p", title=one_line(service.id, 128))
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
            with box("", "form", method="post", action="/logout").style("margin-top: .8rem"):
                words("Sign out", "plain-button", "button", type="submit")


def _settings(context: Context) -> None:
    with box("card", "section"):
        words("Settings", "", "h2")
        values = _read(context)
        if not values:
            empty_state("tune", "No settings", "This gateway was not started from a configuration.", "waggle config")
            return
        given, left = by_origin(values)
        if given:
            _table(given)
        if left:
            with box("", "details", **({} if given else {"open": ""})):
                words(f"{len(left)} at their defaults", "dim small", "summary")
                _table(left)


def by_origin(values: Mapping[str, object]) -> tuple[dict[str, object], dict[str, object]]:
    """The settings that somebody gave, and those that were left as they are."""
    given = {name: value for name, value in values.items() if setting_words(value)[1] not in UNSET}
    return given, {name: value for name, value in values.items() if name not in given}


def _table(values: Mapping[str, object]) -> None:
    with box("plain stacked settings", "table"):
        with box("", "thead"), box("", "tr"):
            for name in ("setting", "value", "from"):
                words(name, "", "th", scope="col")
        with box("", "tbody"):
            for name, value in values.items():
                _setting(name, value)


def _read(context: Context) -> Mapping[str, object]:
    try:
        return context.settings() if context.settings is not None else {}
    except WaggleError:
        return {}


def _setting(name: str, value: object) -> None:
    shown, origin = setting_words(value)
    with box("", "tr"):
        words(one_line(name, 60), "mono", "td")
        words(shown, "words", "td", data_name="value")
        with box("", "td"):
            words(origin, "dim small" if origin in UNSET else "chip warn")


def setting_words(value: object) -> tuple[str, str]:
    """A setting's value and where it came from: a pair, or a mapping with "value" and "from"; else only a value."""
    if isinstance(value, Mapping) and "value" in value:
        return _shown(value["value"]), one_line(str(value.get("from", "")), 80)
    if isinstance(value, tuple) and len(value) == 2:
        return _shown(value[0]), one_line(str(value[1]), 80)
    return _shown(value), ""


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return plain("\n".join(str(each) for each in value), 2_000) or "–"
    return plain(str(value), 2_000) if value not in (None, "") else "–"


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
