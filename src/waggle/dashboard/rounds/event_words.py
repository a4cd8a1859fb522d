"""What happened in a round, one sentence an event. Pure."""

from collections.abc import Mapping
from typing import assert_never

from waggle.core.round_values import (
    Ballot,
    BallotFailed,
    BallotReceived,
    DeadlinePassed,
    Event,
    ProposalCommitted,
    ProposalFailed,
    ProposalReceived,
    RoundStarted,
)
from waggle.dashboard.frame.words import one_line, percent, short_id, with_names

ANSWER, REASON = 40, 160  # characters
EMPTY: Mapping[str, str] = {}


def event_words(event: Event, answers: Mapping[int, str], names: Mapping[str, str] = EMPTY) -> str:
    """The event in words; `answers` are the candidates' by number, `names` the nodes'."""
    match event:
        case RoundStarted():
            return "The round starts: all proposers are asked."
        case ProposalCommitted(node=node):
            return f"{_name(node, names)} has an answer and is bound to it."
        case ProposalReceived(proposal=proposal):
            return f"{_name(proposal.node, names)} answers “{one_line(proposal.answer, ANSWER)}”."
        case ProposalFailed(node=node, failure=failure):
            return f"{_name(node, names)} gives no answer: {one_line(with_names(failure.reason, names), REASON)}"
        case BallotReceived(ballot=ballot):
            return _ballot(ballot, answers, _name(ballot.judge, names))
        case BallotFailed(judge=judge, failure=failure):
            return f"{_name(judge, names)} cannot judge: {one_line(with_names(failure.reason, names), REASON)}"
        case DeadlinePassed(phase=phase, node=node):
            return _deadline(phase, node, names)
        case _:
            assert_never(event)


def _name(node: str, names: Mapping[str, str]) -> str:
    return short_id(names.get(node, node))


def _ballot(ballot: Ballot, answers: Mapping[int, str], judge: str) -> str:
    first, second = (
        f"“{one_line(answers.get(number, f'#{number}'), ANSWER)}”" for number in (ballot.first, ballot.second)
    )
    if ballot.p is None:
        return f"{judge} compares {first} and {second}, and its verdict cannot be read."
    if ballot.p == 0.5:
        return f"{judge} sees no difference between {first} and {second}."
    better, worse, p = (first, second, ballot.p) if ballot.p > 0.5 else (second, first, 1 - ballot.p)
    return f"{judge} prefers {better} to {worse} ({percent(p)})."


def _deadline(phase: str, node: str, names: Mapping[str, str]) -> str:
    if node:
        return f"{_name(node, names)} is slow: another node is asked as well."
    phases = {"commit": "committing", "propose": "proposing", "round": "the whole round"}
    return f"The time for {phases.get(phase, one_line(phase, ANSWER))} is up."
