"""A finished round gone through again: its state after every event, as those who watched it saw it. Pure."""

from waggle.core.round_values import Record
from waggle.node.rounds.runner import draw
from waggle.swarm.round import step
from waggle.swarm.state import State

Steps = tuple[State, ...]


def replay(record: Record) -> Steps:
    """The state after every event of the record, in order.

    Raises:
        LocalProtocolError, RemoteProtocolError: the events are not those of a round.
    """
    states: list[State] = []
    state = State(plan=record.plan)
    for event in record.events:
        state, _ = step(state, event, draw)
        states.append(state)
    return tuple(states)
