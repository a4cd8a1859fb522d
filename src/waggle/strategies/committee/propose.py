"""PROPOSE and GROUP: ask the proposers, collect what arrives in time, join equal answers into candidates."""

from msgspec.structs import replace

from waggle.consensus.grouping import group_answers
from waggle.core.errors import RemoteProtocolError
from waggle.core.failures import Cause, Failure
from waggle.core.ids import NodeId
from waggle.core.round_effects import AskProposal, Effect, SetTimer, brief_for
from waggle.core.round_picture import Phase
from waggle.core.round_values import Plan, Proposal, ProposalFailed, ProposalReceived, Spent, Standing
from waggle.strategies.committee.commit import check_reveal
from waggle.strategies.committee.hedge import hedge_timers
from waggle.strategies.committee.state import MAX_PROPOSALS, NOT_ASKED, Candidate, State, awaits_proposal, issue

EMPTY = Failure(Cause.EMPTY, "no answer")
LATE = Failure(Cause.LATE, "no answer in time")
UNSURE = 0.5  # self-confidence counted for an engine that cannot tell


def start(state: State) -> tuple[State, list[Effect]]:
    """Ask every proposer and set both deadlines."""
    plan = state.plan
    asks = tuple(_ask(plan, standing) for standing in plan.proposers[:MAX_PROPOSALS])
    state, effects = issue(replace(state, phase=Phase.PROPOSE, pending=asks))
    return state, _timers(state) + effects


def _timers(state: State) -> list[Effect]:
    plan = state.plan
    propose_by = plan.budget.seconds * plan.propose_share
    commit_by = propose_by * plan.commit_share if plan.commit_reveal else propose_by
    commit: list[Effect] = [SetTimer(phase="commit", at=commit_by)] if plan.commit_reveal else []
    return [
        *commit,
        SetTimer(phase="propose", at=propose_by),
        SetTimer(phase="round", at=plan.budget.seconds),
        *hedge_timers(state, commit_by),
    ]


def _ask(plan: Plan, standing: Standing) -> AskProposal:
    return AskProposal(node=standing.node, brief=brief_for(plan, standing), sampling=plan.sampling)


def next_standby(state: State) -> AskProposal | None:
    """The ask for the next node that may step in; None where there is none left."""
    if state.standby >= len(state.plan.standby):
        return None
    return _ask(state.plan, state.plan.standby[state.standby])


def receive(state: State, event: ProposalReceived) -> tuple[State, list[Effect]]:
    """Take a proposal in. An empty answer is a failure of its sender; an unasked one is refused.

    Raises:
        RemoteProtocolError: the sender was not asked, answered already, or reveals what it has not committed to.
    """
    proposal = event.proposal
    check_reveal(state, event)
    state = close_ask(state, proposal.node)
    state = replace(state, spent=_spent_with(state, proposal))
    if not proposal.answer.strip():
        return fail(state, proposal.node, EMPTY)
    return issue(replace(state, proposals=(*state.proposals, proposal)))


def _spent_with(state: State, proposal: Proposal) -> Spent:
    """With commit-reveal the tokens were counted with the commitment; what the prompt took is known only now."""
    spent, tokens = state.spent, max(0, proposal.tokens)
    prompt = spent.prompt_tokens + min(max(0, proposal.prompt_tokens), tokens)
    made = spent.proposing_tokens + (0 if state.plan.commit_reveal else tokens)
    return replace(spent, proposing_tokens=made, prompt_tokens=prompt)


def lose(state: State, event: ProposalFailed) -> tuple[State, list[Effect]]:
    """A proposer gave up."""
    return fail(close_ask(state, event.node), event.node, event.failure)


def fail(state: State, node: NodeId, failure: Failure) -> tuple[State, list[Effect]]:
    """Note the failure and call the next standby in, unless answers are being revealed or one is in already for it."""
    state = replace(state, failures={**state.failures, node: failure})
    standby = next_standby(state)
    if standby is not None and not state.revealing and not _is_doubled(state, node):
        state = replace(state, standby=state.standby + 1, pending=(*state.pending, standby))
    return issue(state)


def _is_doubled(state: State, node: NodeId) -> bool:
    """Whether the other one of a hedged pair is still at work, or has answered."""
    others = [standby for standby, slow in state.hedges.items() if slow == node]
    others += [state.hedges[node]] if node in state.hedges else []
    return any(other not in state.failures for other in others)


def close_ask(state: State, node: NodeId) -> State:
    """The ask this node answers is no longer open."""
    if not awaits_proposal(state, node):
        raise RemoteProtocolError(f"{node}: a proposal that nobody is waiting for")
    return replace(state, open=tuple(a for a in state.open if not (isinstance(a, AskProposal) and a.node == node)))


def give_up_waiting(state: State) -> State:
    """The proposers that have not answered by the deadline have failed."""
    late = {ask.node: LATE for ask in state.open if isinstance(ask, AskProposal)}
    unasked = {ask.node: NOT_ASKED for ask in state.pending if isinstance(ask, AskProposal)}
    return replace(state, open=(), pending=(), failures={**state.failures, **late, **unasked})


def group(state: State) -> State:
    """Join equal answers into candidates, in the order of the plan's proposers, whatever order they arrived in."""
    order = {standing.node: rank for rank, standing in enumerate((*state.plan.proposers, *state.plan.standby))}
    proposals = tuple(sorted(state.proposals, key=lambda proposal: order[proposal.node]))
    groups = group_answers([proposal.answer for proposal in proposals], marker=state.plan.answer_marker)
    candidates = tuple(
        Candidate(tuple(g.members), sum(support_of(state.plan, proposals[member]) for member in g.members))
        for g in groups
    )
    return replace(state, proposals=proposals, candidates=candidates)


def standing_of(plan: Plan, node: NodeId) -> Standing:
    """What the plan knows of a proposer."""
    return next(standing for standing in (*plan.proposers, *plan.standby) if standing.node == node)


def support_of(plan: Plan, proposal: Proposal) -> float:
    """A proposal's support: its node's weight, times its self-confidence where the plan counts that."""
    weight = standing_of(plan, proposal.node).support_weight
    if not plan.count_self_confidence:
        return weight
    return weight * (UNSURE if proposal.self_confidence is None else proposal.self_confidence)
