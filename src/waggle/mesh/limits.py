"""Every bound on what a peer may send, ask or make us hold, in one place, each with its reason.

The libp2p daemon has no limits of its own, so these are all there are. Bytes unless the name says otherwise.
"""

KIB = 1024
MIB = 1024 * KIB

MAX_CALL_BYTES = 3 * MIB
"""A request or reply of one call. The daemon loses replies above 4 MiB without a word."""

MAX_FRAME_BYTES = 4 * MIB
"""One frame of a stream; the largest envelope."""

MAX_RELAYED_BYTES = 64 * KIB
"""What we split, files and ballots and adverts, comes in messages of at most this: no link through a relay is held up
for long, and little is lost with one. A long question or answer goes whole: our relays pass the largest frame."""

RELAYED_PIECE_BYTES = MAX_RELAYED_BYTES * 3 // 4
"""What one such message carries, with room for what goes around it."""

MAX_STREAMS_PER_PEER = 64
"""Streams one peer may have open with us."""

MAX_CALLS_PER_PEER = 16
"""Calls of one peer that we work on at once; the next one is told that we are busy."""

MAX_BYTES_PER_SECOND = 2 * MIB
"""What one peer may send us for long, calls and frames together; served files go the other way and do not count."""

MESSAGE_BYTES = 4 * KIB
"""What a call, a frame or an opened stream is charged beside its bytes. Checking one, its signature above all, takes us
about 0.14 ms however short it is, and what it asks for at least as much again. So one peer has us take 500 a second at
most: 7 % of a core to check them, and 25 % where each asks for something small. An honest one is far below: who
coordinates sends each peer 5 a round, and no core ends 80 rounds a second over the network; gossip among 10,000 nodes
is 7 a second of all peers together; a file is asked for in one per MiB, or per 64 KiB through a relay."""

BURST_BYTES = 8 * MIB
"""What one peer may send at once before the rate counts: two largest frames."""

MAX_OPENING_STREAMS = 32
"""Streams we open at the same time. About 200 at once made the daemon reset connections."""

MAX_PEERS_TRACKED = 8_192
"""Peers whose use of us is counted; the ones idle longest are forgotten first, never one at work."""

MAX_NESTING = 8
"""Depth of arrays and maps in a message; ours need 7. Checked before decoding."""

MAX_ITEMS = 64 * KIB
"""Values in one message, keys included. A plan with 1,000 nodes has about 11,000; this many are looked at in 10 ms."""

MAX_ADVERT_BYTES = 8 * KIB
"""One signed advert. A node with seven models of nine measured skills each needs about 3 KiB."""

MAX_ADVERTS = 8_192
"""Adverts held of all authors together. Past it newcomers are refused, nobody is evicted."""

MAX_HELD_BYTES = 56 * MIB
"""Memory that they may take: enough for 8,192 nodes with one model each, 3,500 with seven, 850 of the costliest."""

MAX_ADVERT_SECONDS = 120.0
"""Longest time to live that a reader grants an advert, whatever it asks for."""

MAX_CLOCK_SKEW_SECONDS = 600.0
"""How far an advert's date may lie from ours."""
