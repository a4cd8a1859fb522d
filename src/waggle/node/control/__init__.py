"""How this user's commands talk to this user's running node, over a Unix-domain socket."""
