"""HEDGE: a proposer that is slower than expected is doubled by a standby; whoever is ready first is kept.

A standby needs time too, so nobody is waited for alone beyond `LATEST` of the time there is, whatever was expected.
The other one is told to stop, so that a hedged pair costs one place in the round and adds one proposal, not two.
"""

from msgspec.structs import replace

from waggle.core.failures import Cause, Failure
from waggle.core.ids import NodeId
from waggle.core.round_effects import AskProposal, CancelProposal, Effect, SetTimer
from waggle.strategies.committee.state import MAX_PROPOSALS, State, awaits_proposal, issue

HEDGE = "hedge"
SLOWER = Failure(Cause.SLOW, "stopped: slower than expected")
UNNEEDED = Failure(Cause.SPARED, "stopped: not needed any more")
LATEST = 0.5
"""Share of the proposers' time after which even one of unknown speed is doubled: the standby has as long."""


def hedge_timers(state: State, deadline: float) -> list[Effect]:
    """One timer per proposer: when it should have answered at the latest, with half of the time to `deadline` left."""
    factor = state.plan.hedge_factor
    if factor is None or not state.plan.standby:
        return []
    latest = LATEST * deadline
    due = {s.node: latest if s.expected_seconds is None else s.expected_seconds * factor for s in state.plan.proposers}
    return [SetTimer(phase=HEDGE, node=node, at=min(at, latest)) for node, at in due.items() if at > 0]


def double(state: State, slow: NodeId, standby: AskProposal | None) -> tuple[State, list[Effect]]:
    """A proposer is late: ask a standby as well, if it is still needed and there is one left."""
    needed = awaits_proposal(state, slow) and slow not in state.commits and slow not in state.hedges.values()
    if standby is None or state.revealing or not needed or len(state.proposals) + len(state.open) >= MAX_PROPOSALS:
        return state, []
    state = replace(
        state,
        standby=state.standby + 1,
        pending=(*state.pending, standby),
        hedges={**state.hedges, standby.node: slow},
    )
    return issue(state)


def settle_hedge(state: State, effects: list[Effect], ready: NodeId) -> tuple[State, list[Effect]]:
    """One of a hedged pair is ready: the other one is no longer waited for."""
    if ready in state.failures or not state.hedges:
        return state, effects
    others = [state.hedges[ready]] if ready in state.hedges else []
    others += [NodeId(standby) for standby, slow in state.hedges.items() if slow == ready]
    for other in others:
        if other not in state.commits and (awaits_proposal(state, other) or _is_pending(state, other)):
            slow, asked = other == state.hedges.get(ready), awaits_proposal(state, other)
            state = replace(
                state,
                open=tuple(ask for ask in state.open if not _is_of(ask, other)),
                pending=tuple(ask for ask in state.pending if not _is_of(ask, other)),
                failures={**state.failures, other: SLOWER if slow else UNNEEDED},
            )
            effects = [*effects, CancelProposal(node=other)] if asked else effects
    state, more = issue(state)
    return state, effects + more


def _is_of(ask: object, node: NodeId) -> bool:
    return isinstance(ask, AskProposal) and ask.node == node


def _is_pending(state: State, node: NodeId) -> bool:
    return any(_is_of(ask, node) for ask in state.pending)
