"""The web page of a swarm: ask and watch, who is there, past rounds, quality, this node."""
