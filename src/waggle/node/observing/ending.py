"""How a round ended: with an answer, with nothing that is good enough, or with nobody who was heard.

An abstention is a word of the swarm: somebody answered, and it was not sure enough or nothing of it could be used. To
ask again brings the same. A failure is none: nobody could be asked, or nobody was heard, and later somebody may be.
"""

from collections.abc import Sequence
from enum import StrEnum

from waggle.core.ids import NodeId
from waggle.core.round_values import Event, Outcome, ProposalReceived, Record
from waggle.node.observing.names import names_of


class Ending(StrEnum):
    """How a round ended."""

    ANSWERED = "answered"
    ABSTAINED = "abstained"
    FAILED = "failed"


def ending_of(outcome: Outcome, events: Sequence[Event]) -> Ending:
    """How a round of these events ended."""
    if outcome.answer is not None:
        return Ending.ABSTAINED if outcome.abstained else Ending.ANSWERED
    heard = any(isinstance(event, ProposalReceived) for event in events)
    return Ending.ABSTAINED if heard else Ending.FAILED


def why_none(record: Record) -> str:
    """Why a round has no answer at all, in words: what failed, by the names that people call it."""
    names = names_of(record.plan)
    failures = "; ".join(
        f"{names.get(NodeId(node), node)}: {reason}" for node, reason in record.outcome.reasons.items()
    )
    return f"no answer: {failures or record.outcome.reason}"
