"""Everything that knows the libp2p daemon itself: its process, its sockets, its messages. It knows no `Transport`.

The daemon and the description of its messages come with the hivemind package. hivemind's own Python client is not
used: a reply that meets a cancelled call ends its reading loop and with it every later call; nothing of it has a time
limit; importing it loads torch.
"""
