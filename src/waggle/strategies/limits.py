"""What an event may hold: limits on everything that others send, checked before any machine is told of it.

Text must be encodable as well (no lone surrogates): a round's record is written to JSON, and one bad character would
cost all of it.
"""

from math import isfinite

from waggle.core.errors import RemoteProtocolError
from waggle.core.failures import MAX_REASON_BYTES
from waggle.core.ids import NodeId
from waggle.core.round_values import (
    Ballot,
    BallotFailed,
    BallotReceived,
    Event,
    Proposal,
    ProposalFailed,
    ProposalReceived,
)

MAX_ANSWER_BYTES = 64 * 1024
MAX_TRACE_BYTES = 256 * 1024
"""64 proposals of the largest size still make a record that can be read back."""


def check_event(event: Event) -> None:
    """Refuse an event that holds more than may be, or what is none: no probability, no time, no text.

    Raises:
        RemoteProtocolError: naming the sender and which of its values it is, not the value's text.
    """
    match event:
        case ProposalReceived(proposal=proposal):
            check_proposal(proposal)
        case ProposalFailed(node=node, failure=failure):
            _check_text(node, "reason", failure.reason, MAX_REASON_BYTES)
        case BallotReceived(ballot=ballot):
            _check_ballot(ballot)
        case BallotFailed(judge=judge, failure=failure):
            _check_text(judge, "reason", failure.reason, MAX_REASON_BYTES)
        case _:
            pass


def check_proposal(proposal: Proposal) -> None:
    """Refuse a proposal that no round takes; who makes one looks first. Raises RemoteProtocolError."""
    _check_text(proposal.node, "answer", proposal.answer, MAX_ANSWER_BYTES)
    _check_text(proposal.node, "trace", proposal.trace, MAX_TRACE_BYTES)
    _check_seconds(proposal.node, proposal.seconds)
    if proposal.self_confidence is not None and not 0.0 <= proposal.self_confidence <= 1.0:
        raise RemoteProtocolError(f"{proposal.node}: self-confidence {proposal.self_confidence} is not in [0, 1]")


def _check_ballot(ballot: Ballot) -> None:
    if ballot.p is not None and not 0.0 <= ballot.p <= 1.0:  # also refuses NaN
        raise RemoteProtocolError(f"{ballot.judge}: a ballot of {ballot.p} is not a probability")
    _check_text(ballot.judge, "reason", ballot.reason, MAX_REASON_BYTES)
    _check_seconds(ballot.judge, ballot.seconds)


def _check_text(sender: NodeId, name: str, text: str, most_bytes: int) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise RemoteProtocolError(f"{sender}: the {name} is not valid Unicode text") from None
    if size > most_bytes:
        raise RemoteProtocolError(f"{sender}: the {name} is longer than {most_bytes} bytes")


def _check_seconds(sender: NodeId, seconds: float) -> None:
    if not (isfinite(seconds) and seconds >= 0):
        raise RemoteProtocolError(f"{sender}: {seconds} is no number of seconds")
