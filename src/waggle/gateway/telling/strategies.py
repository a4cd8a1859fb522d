"""What the ways of answering are called outside. The one place where names of the house become names of the API.

Inside, the committee's way is called `swarm`. Outside `swarm` is a model, the one of the gate, so there the committee's
way is called `committee`, and the gate's `auto`.
"""

from waggle.node.rounds.planning import AUTO

COMMITTEE, SOLO = "committee", "solo"
SHOWN = {"swarm": COMMITTEE}
STRATEGIES = {"swarm": AUTO, "swarm/committee": "swarm", "swarm/vote": "vote", "swarm/best": "best"}
"""Models that are no model but a way of answering, and what that is called inside."""


def shown_strategy(strategy: str) -> str:
    """What a way of answering, as it is called inside, is called outside."""
    return SHOWN.get(strategy, strategy)
