"""What this node is called: by its settings, else by its id."""

from waggle.dashboard.frame.context import Context
from waggle.dashboard.frame.words import one_line, short_id
from waggle.dashboard.settings_table import read_settings, setting_words
from waggle.node.rounds.swarm import HERE

NAMELESS = ("", "–")


def own_name(context: Context) -> str:
    """Its name; a process that is no node of a swarm is just that."""
    if context.service.id == HERE:
        return "one process"
    name = setting_words(read_settings(context.settings).get("name", ""))[0]
    return short_id(context.service.id) if name in NAMELESS else one_line(name, 60)
