"""The settings of a node as a page shows them: those that somebody chose, the others folded; and its own name."""

from collections.abc import Callable, Mapping
from pathlib import Path

from waggle.core.errors import WaggleError
from waggle.dashboard.frame.context import Context
from waggle.dashboard.frame.elements import box, empty_state, words
from waggle.dashboard.frame.words import one_line, plain, short_id
from waggle.node.config.table import SETTINGS
from waggle.node.rounds.swarm import HERE

UNSET = ("default", "")
FLAG = "--"
HOME = "home"
NAMELESS = ("", "–")
Source = Callable[[], Mapping[str, object]] | None


def show_settings(source: Source) -> None:
    """Draw them, or say why there are none."""
    with box("card", "section"):
        words("Settings", "", "h2")
        values = read_settings(source)
        if not values:
            empty_state("tune", "No settings", "This gateway was not started from a configuration.", "waggle config")
            return
        given, left = by_origin(values)
        if given:
            _table(given)
        if left:
            with box("", "details", **({} if given else {"open": ""})):
                words(f"{'All other' if given else 'All'} settings ({len(left)})", "dim small", "summary")
                _table(left)


def read_settings(source: Source) -> Mapping[str, object]:
    """Every setting by name; none where they cannot be told."""
    try:
        return source() if source is not None else {}
    except WaggleError:
        return {}


def own_name(context: Context) -> str:
    """What this node is called: by its settings, else by its id; a process that is no node of a swarm is just that."""
    if context.service.id == HERE:
        return "one process"
    name = setting_words(read_settings(context.settings).get("name", ""))[0]
    return short_id(context.service.id) if name in NAMELESS else one_line(name, 60)


def by_origin(values: Mapping[str, object]) -> tuple[dict[str, object], dict[str, object]]:
    """The settings that somebody chose, and the others.

    A flag that says what holds anyway is no choice, nor is such a folder: `waggle up` hands settings on to its nodes.
    """
    given = {name: value for name, value in values.items() if _is_chosen(name, value)}
    return given, {name: value for name, value in values.items() if name not in given}


def _is_chosen(name: str, value: object) -> bool:
    shown, origin = setting_words(value)
    if origin in UNSET:
        return False
    handed_on = origin.startswith(FLAG) or origin == SETTINGS[HOME].variable
    return not (handed_on and name in SETTINGS and shown == _default_words(name))


def _default_words(name: str) -> str:
    default = SETTINGS[name].default
    if name == HOME:
        return _shown(str(Path(str(default)).expanduser().absolute()))
    return _shown(default)


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


def _table(values: Mapping[str, object]) -> None:
    with box("plain stacked settings", "table"):
        with box("", "thead"), box("", "tr"):
            for name in ("setting", "value", "from"):
                words(name, "", "th", scope="col")
        with box("", "tbody"):
            for name, value in values.items():
                _setting(name, value)


def _setting(name: str, value: object) -> None:
    shown, origin = setting_words(value)
    with box("", "tr"):
        words(one_line(name, 60), "mono", "td")
        words(shown, "words", "td", data_name="value")
        with box("", "td"):
            words(origin, "dim small" if origin in UNSET else f"chip warn {_letters(origin)}")


def _letters(origin: str) -> str:
    """Flags and variables are typed, so they look typed."""
    return "mono" if origin.startswith((FLAG, "WAGGLE_")) else ""
