"""COMMIT and REVEAL: who proposes is bound to the words before anyone can see another's.

A proposer sends the hash of its answer first. Once all that are still expected have committed, or the commit deadline
has passed, the coordinator asks for the answers; one that does not match its commitment is a remote error. A late
copycat has nothing to copy. Inside one process, where nobody can listen, a plan leaves this out.
"""

import re

from msgspec.structs import replace

from waggle.core.errors import RemoteProtocolError
from waggle.core.failures import Cause, Failure
from waggle.core.round_effects import AskProposal, AskReveal, CancelProposal, Effect
from waggle.core.round_values import ProposalCommitted, ProposalReceived
from waggle.strategies.committee.state import NOT_ASKED, State, awaits_proposal, issue
from waggle.strategies.promises import check_kept

DIGEST = re.compile("[0-9a-f]{64}")


def receive(state: State, event: ProposalCommitted) -> tuple[State, list[Effect]]:
    """Take a commitment in. What it cost is known now, so the ask no longer holds its ceiling of the budget.

    Raises:
        RemoteProtocolError: not asked, committed already, too late, or no digest.
    """
    if not state.plan.commit_reveal or not awaits_proposal(state, event.node):
        raise RemoteProtocolError(f"{event.node}: a commitment that nobody is waiting for")
    if event.node in state.commits:
        raise RemoteProtocolError(f"{event.node}: a second commitment")
    if state.revealing:
        raise RemoteProtocolError(f"{event.node}: a commitment after the reveals have begun")
    if not DIGEST.fullmatch(event.promise.digest):
        raise RemoteProtocolError(f"{event.node}: the commitment is no SHA-256 in hexadecimal")
    tokens = state.spent.proposing_tokens + max(0, event.promise.tokens)
    state = replace(
        state,
        commits={**state.commits, event.node: event.promise.digest},
        spent=replace(state.spent, proposing_tokens=tokens),
    )
    return issue(state)


def check_reveal(state: State, event: ProposalReceived) -> None:
    """Refuse an answer that its node has not committed to, or not been asked to reveal. Raises RemoteProtocolError."""
    node = event.proposal.node
    if not state.plan.commit_reveal:
        return
    if not state.revealing or node not in state.commits:
        raise RemoteProtocolError(f"{node}: an answer before it was asked to reveal one")
    check_kept(state.commits[node], node, event.proposal.answer, event.nonce)


def reveal_if_complete(state: State, effects: list[Effect]) -> tuple[State, list[Effect]]:
    """Ask for the answers once every node that is still expected has committed."""
    waiting = {ask.node for ask in state.open if isinstance(ask, AskProposal)}
    if not state.plan.commit_reveal or state.revealing or not waiting or not waiting <= state.commits.keys():
        return state, effects
    return _reveal(state, effects)


def close_commits(state: State) -> tuple[State, list[Effect]]:
    """The commit deadline: who has not committed has failed; the others are asked to reveal."""
    if not state.plan.commit_reveal or state.revealing:
        return state, []
    asks = [ask for ask in state.open if isinstance(ask, AskProposal)]
    late = [ask.node for ask in asks if ask.node not in state.commits]
    missed = {node: Failure(Cause.LATE, "no commitment in time") for node in late}
    kept = tuple(ask for ask in asks if ask.node in state.commits)
    state = replace(state, open=kept, failures={**state.failures, **missed})
    return _reveal(state, [CancelProposal(node=node) for node in late])


def _reveal(state: State, effects: list[Effect]) -> tuple[State, list[Effect]]:
    unasked = {ask.node: NOT_ASKED for ask in state.pending if isinstance(ask, AskProposal)}
    state = replace(state, revealing=True, pending=(), failures={**state.failures, **unasked})
    reveals: list[Effect] = [AskReveal(node=ask.node) for ask in state.open if isinstance(ask, AskProposal)]
    return state, effects + reveals
