"""What binds a proposer to its words before anybody can see another's: it promises their hash, and reveals them later.

Every way's rounds may use it; which do, and when they ask for the words, is their machines' business.
"""

import hashlib

from waggle.core.errors import RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.core.round_values import Promise, Reveal

DOMAIN = b"waggle/commit/1"


def commitment(node: NodeId, answer: str, nonce: str) -> str:
    """What binds a node to an answer: SHA-256 (hex) over domain, node id, nonce and answer, each after its length.

    Raises:
        UnicodeEncodeError: the answer holds lone surrogates.
    """
    parts = (DOMAIN, node.encode(), nonce.encode(), answer.encode())
    return hashlib.sha256(b"".join(len(part).to_bytes(8) + part for part in parts)).hexdigest()


def promise_of(reveal: Reveal) -> Promise:
    """What its node is bound by until it reveals this."""
    proposal = reveal.proposal
    return Promise(digest=commitment(proposal.node, proposal.answer, reveal.nonce), tokens=proposal.tokens)


def check_kept(digest: str, node: NodeId, answer: str, nonce: str) -> None:
    """Raise RemoteProtocolError unless this answer is the one that was promised."""
    try:
        kept = commitment(node, answer, nonce) == digest
    except UnicodeEncodeError:
        raise RemoteProtocolError(f"{node}: the answer is not valid Unicode text") from None
    if not kept:
        raise RemoteProtocolError(f"{node}: the answer is not the one it committed to")
