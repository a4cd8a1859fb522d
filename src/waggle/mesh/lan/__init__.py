"""Finding each other in a local network, without any configuration."""
