"""The models of the API that are no model but a way of answering. What those ways are called: `shown_strategy`."""

from waggle.node.rounds.planning import AUTO

SOLO = "solo"
STRATEGIES = {"swarm": AUTO, "swarm/committee": "swarm", "swarm/vote": "vote", "swarm/best": "best"}
"""Models that are no model but a way of answering, and what that is called inside."""
