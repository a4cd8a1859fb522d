"""Which calls may be made twice for one answer, where the link broke before it came.

Nobody knows then whether the peer did its work. The calls named here change nothing at the peer that a second one would
change again: their handlers only read, or take in adverts, which are numbered. All others fail, and so does a repeated
one whose link breaks again. Probes are left out: each makes a third node work. Rounds and pieces of files go over
streams, which this does not touch.
"""

from waggle.mesh.files.wire import LIST_PROTOCOL, MANIFEST_PROTOCOL
from waggle.mesh.members.messages import COMPARE_PROTOCOL, PING_PROTOCOL, TRADE_PROTOCOL

REPEATABLE = frozenset({PING_PROTOCOL, COMPARE_PROTOCOL, TRADE_PROTOCOL, LIST_PROTOCOL, MANIFEST_PROTOCOL})
