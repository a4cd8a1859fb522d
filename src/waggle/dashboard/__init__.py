"""The web page of a swarm: ask and watch, who is there, past rounds, quality, this node."""

from waggle.dashboard.frame.attach import attach

__all__ = ["attach"]
