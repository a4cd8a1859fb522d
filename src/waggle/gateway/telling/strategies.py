"""The models of the API that are no model but a way of answering."""

from waggle.core.asking import AUTO
from waggle.strategies.ways import ways

SWARM = "swarm"
STRATEGIES = {SWARM: AUTO} | {f"{SWARM}/{way.name}": way.name for way in ways() if way.name != AUTO and not way.takes}
"""By the name of the model, the way: "swarm" leaves it to the gate, "swarm/vote" is the vote."""
