"""Which engines cannot be used now, and why: a notice on every page that shows models."""

from collections.abc import Sequence

from waggle.core.words import many
from waggle.dashboard.frame.elements import box, icon, words
from waggle.dashboard.frame.words import one_line, short_id
from waggle.node.services.service import ServedModel

MOST = 12
REASON = 160  # characters


def down_words(models: Sequence[ServedModel]) -> list[tuple[str, str]]:
    """Model and reason of every engine that is down; where several nodes have the model, with the node's id."""
    found = []
    for model in models:
        for node, reason in model.down.items():
            several = len(model.down) + len(model.nodes) > 1
            name = one_line(model.name, 60)
            found.append((f"{name} at {short_id(node)}" if several else name, one_line(reason, REASON)))
    return found


def show_down(models: Sequence[ServedModel]) -> None:
    """Say it, where something is down."""
    found = down_words(models)
    if not found:
        return
    others = "; the others answer meanwhile" if any(model.usable for model in models) else ""
    with box("notice down", "section", aria_label="Engines that are down"):
        with box("row named"):
            icon("power_off")
            words(f"{many(len(found), 'engine')} cannot be used now{others}.", "", "strong")
        with box("", "ul"):
            for name, reason in found[:MOST]:
                words(f"{name}: {reason}", "small words", "li")
        if len(found) > MOST:
            words(f"and {len(found) - MOST:,} more", "small", "p")
