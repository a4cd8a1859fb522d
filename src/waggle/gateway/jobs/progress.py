"""What can be said of a round while it runs: how far it is, and the best draft so far. Pure."""

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from waggle.core.round_values import Ballot, BallotCount, Plan, Proposal, Spent


class Group(Protocol):
    """Equal proposals, as positions among the proposals, and their weighted support."""

    @property
    def members(self) -> Sequence[int]: ...
    @property
    def support(self) -> float: ...


class Seen(Protocol):
    """What is read of a round's state."""

    @property
    def plan(self) -> Plan: ...
    @property
    def proposals(self) -> Sequence[Proposal]: ...
    @property
    def candidates(self) -> Sequence[Group]: ...
    @property
    def ballots(self) -> Sequence[Ballot]: ...
    @property
    def count(self) -> BallotCount: ...
    @property
    def spent(self) -> Spent: ...


def progress_of(state: Seen) -> str:
    """How far a round is, in a line that holds nothing but numbers: "proposals 3 of 7, ballots 12 of 40"."""
    made, ballots = len(state.proposals), len(state.ballots)
    asked = max(made, len(state.plan.proposers))
    return f"proposals {made} of {asked}, ballots {ballots} of {max(ballots, state.count.asked)}"


def draft_of(state: Seen) -> str | None:
    """The answer that leads so far; None where there is none. Only the end of the round says which one wins.

    Before candidates are known the most frequent answer leads, then the one with the most support and, ballot by
    ballot, the best balance of preferences.
    """
    if not state.proposals:
        return None
    if not state.candidates:
        return Counter(proposal.answer for proposal in state.proposals).most_common(1)[0][0]
    balance = [group.support for group in state.candidates]
    for ballot in state.ballots:
        if ballot.p is not None and max(ballot.first, ballot.second) < len(balance):
            balance[ballot.first] += ballot.p - 0.5
            balance[ballot.second] -= ballot.p - 0.5
    leader = state.candidates[balance.index(max(balance))]
    return state.proposals[leader.members[0]].answer
