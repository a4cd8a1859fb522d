"""Who is in the swarm: signed adverts spread by gossip, and our own pings to tell who is there."""
