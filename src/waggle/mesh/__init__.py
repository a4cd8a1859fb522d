"""The peer-to-peer network under the swarm: transports, the wire codec, discovery, liveness, files."""
