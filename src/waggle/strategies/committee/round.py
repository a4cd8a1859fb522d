"""The round of `docs/protocol.md`: `step(state, event, draw) -> (state, effects)`, and nothing else.

    WAITING --RoundStarted--> PROPOSE --all in or deadline--> (GROUP) --> RANK --decided or deadline--> DONE
                            (commit, reveal)

No I/O, no clock, no randomness of its own: time comes with the events, generators from `draw`. The same plan and the
same events give the same effects and the same outcome. An event that breaks the rules raises RemoteProtocolError and
changes nothing. Whatever happens, the "round" deadline ends it.
"""

from typing import assert_never

from msgspec.structs import replace

from waggle.core.errors import LocalProtocolError, RemoteProtocolError
from waggle.core.round_effects import CancelAll, Effect, Finish
from waggle.core.round_picture import Phase, RoundPicture
from waggle.core.round_values import (
    BallotFailed,
    BallotReceived,
    DeadlinePassed,
    Event,
    Outcome,
    Plan,
    ProposalCommitted,
    ProposalFailed,
    ProposalReceived,
    RoundStarted,
)
from waggle.strategies.committee import commit, propose, rank
from waggle.strategies.committee.commit import close_commits, reveal_if_complete
from waggle.strategies.committee.decide import conclude, decided
from waggle.strategies.committee.hedge import HEDGE, double, settle_hedge
from waggle.strategies.committee.state import State, settled
from waggle.strategies.committee.view import picture_of
from waggle.strategies.machine import Draw

Step = tuple[State, list[Effect]]
PHASES = ("commit", HEDGE, "propose", "round")
"""Of its timers."""


class CommitteeMachine:
    """The committee's way, as a `Machine`."""

    def begin(self, plan: Plan) -> State:
        """Nobody has been asked."""
        return State(plan=plan)

    def step(self, state: State, event: Event, draw: Draw) -> Step:
        """Apply one event."""
        return step(state, event, draw)

    def view(self, state: State) -> RoundPicture:
        """What there is to see."""
        return picture_of(state)


def step(state: State, event: Event, draw: Draw) -> Step:
    """Apply one event.

    Returns:
        The new state and what is to be done now; the last effect of a round is `Finish`.

    Raises:
        RemoteProtocolError: the event is refused (unasked, repeated, late, malformed); `state` stays as it was.
    """
    if state.phase is Phase.DONE:
        raise RemoteProtocolError("the round is over")
    if (state.phase is Phase.WAITING) is not isinstance(event, RoundStarted):
        raise LocalProtocolError("a round starts once, with RoundStarted")
    state = replace(state, at=max(state.at, event.at), spent=replace(state.spent, seconds=max(state.at, event.at)))
    match event:
        case RoundStarted():
            new, effects = propose.start(state)
        case ProposalCommitted():
            new, effects = settle_hedge(*commit.receive(state, event), event.node)
        case ProposalReceived():
            new, effects = settle_hedge(*propose.receive(state, event), event.proposal.node)
        case ProposalFailed():
            new, effects = propose.lose(state, event)
        case BallotReceived():
            new, effects = rank.receive(state, event)
        case BallotFailed():
            new, effects = rank.lose(state, event)
        case DeadlinePassed():
            return _deadline(state, event, draw)
        case _:
            assert_never(event)
    return _advance(new, effects, draw)


def _advance(state: State, effects: list[Effect], draw: Draw) -> Step:
    """Go on to the next phase when nothing is left to wait for in this one."""
    if state.phase is Phase.PROPOSE:
        state, effects = reveal_if_complete(state, effects)
        if settled(state):
            return _rank(state, effects, draw)
        return state, effects
    if settled(state):
        return _after_wave(state, effects, draw)
    if _time_to_look(state) and (strengths := decided(state)) is not None:
        return _end(state, effects, conclude(state, "no open ballot is likely to change the winner", strengths))
    return state, effects


def _deadline(state: State, event: DeadlinePassed, draw: Draw) -> Step:
    if event.phase not in PHASES:
        raise RemoteProtocolError("a timer that nobody set")
    if event.phase == "round":
        if state.phase is Phase.PROPOSE:
            state = propose.group(propose.give_up_waiting(state))
        return _finish(rank.give_up_waiting(state), [], "the time budget is spent")
    if state.phase is not Phase.PROPOSE:
        return state, []
    if event.phase == "commit":
        return _advance(*close_commits(state), draw)
    if event.phase == HEDGE:
        return _advance(*double(state, event.node, propose.next_standby(state)), draw)
    return _rank(propose.give_up_waiting(state), [CancelAll()], draw)


def _rank(state: State, effects: list[Effect], draw: Draw) -> Step:
    """Group what was proposed, then ask the judges, if there is anything to compare and anyone to ask."""
    state = propose.group(state)
    if len(state.candidates) < 2 or not rank.judges_of(state):
        return _finish(state, effects, "nothing to compare" if len(state.candidates) < 2 else "no judges")
    state, asks = rank.next_wave(state, draw)
    if settled(state):
        return _finish(state, effects, "no ballot could be asked for")
    return state, effects + asks


def _after_wave(state: State, effects: list[Effect], draw: Draw) -> Step:
    """A wave is complete: buy another where it could change the winner, or the confidence asked for is not reached."""
    outcome = conclude(state, "all ballots are in")
    if state.wave >= state.plan.waves:
        return _end(state, effects, outcome)
    more, asks = rank.next_wave(state, draw, leaders=outcome.candidates[:2])
    if not settled(more) and (outcome.abstained or (rank.is_open_ended(state.plan) and decided(more) is None)):
        return more, effects + asks
    return _end(state, effects, outcome)


def _time_to_look(state: State) -> bool:
    """Fits are not free: look once per round of all judges, not at every ballot."""
    return len(state.ballots) % max(1, len(rank.judges_of(state))) == 0


def _finish(state: State, effects: list[Effect], reason: str) -> Step:
    return _end(state, effects, conclude(state, reason))


def _end(state: State, effects: list[Effect], outcome: Outcome) -> Step:
    cancel: list[Effect] = [CancelAll()]
    return replace(state, phase=Phase.DONE, outcome=outcome, open=(), pending=()), [
        *effects,
        *cancel,
        Finish(outcome=outcome),
    ]
