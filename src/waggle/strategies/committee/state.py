"""What a round remembers between two events, and what its budget still allows.

Frozen: every step makes a new state, so a refused event leaves the old one untouched. Knows nothing of clocks,
networks or engines.
"""

from collections.abc import Callable
from functools import cache

from msgspec import Struct
from msgspec.structs import replace

from waggle.core.asking import prompt_ceiling, size_of
from waggle.core.failures import Cause, Failure
from waggle.core.ids import NodeId
from waggle.core.round_effects import AskBallot, AskProposal, Effect
from waggle.core.round_picture import Phase
from waggle.core.round_values import Ballot, BallotCount, Outcome, Plan, Proposal, Spent

Ask = AskProposal | AskBallot
NOT_ASKED = Failure(Cause.SPARED, "not asked: the token budget did not allow it")
MAX_PROPOSALS = 64
WORKINGS = 3  # a judge may read the question once to work it and once for each proposal


class Candidate(Struct, frozen=True):
    """Equal proposals, as positions in `State.proposals`, and their weighted support."""

    members: tuple[int, ...]
    support: float


class State(Struct, frozen=True, kw_only=True):
    """A round at one moment.

    `pending` asks wait for budget, `open` ones for an answer. `tried` holds every (judge, first, second) ever asked.
    `commits` maps nodes to what they committed to, `hedges` a standby to the slow proposer that it doubles.
    """

    plan: Plan
    phase: Phase = Phase.WAITING
    at: float = 0.0
    proposals: tuple[Proposal, ...] = ()
    failures: dict[str, Failure] = {}
    standby: int = 0
    commits: dict[str, str] = {}
    revealing: bool = False
    hedges: dict[str, NodeId] = {}
    candidates: tuple[Candidate, ...] = ()
    ballots: tuple[Ballot, ...] = ()
    count: BallotCount = BallotCount()
    tried: frozenset[tuple[NodeId, int, int]] = frozenset()
    pending: tuple[Ask, ...] = ()
    open: tuple[Ask, ...] = ()
    wave: int = 0
    spent: Spent = Spent()
    outcome: Outcome | None = None


def ceiling_tokens(ask: Ask, prompt: int | None = None, size: Callable[[str], int] = size_of) -> int:
    """The most tokens a call can cost: text never has more tokens than bytes. Used to keep the budget a ceiling.

    Who prices many asks of one round gives the ceiling of their common prompt, and a `size_of` that remembers.
    """
    question = prompt_ceiling(ask.brief.question, ask.brief.turns) if prompt is None else prompt
    if isinstance(ask, AskProposal):
        return question + ask.brief.max_tokens
    proposals = size(ask.pair.first_text) + size(ask.pair.second_text)
    return WORKINGS * (question + proposals) + ask.brief.max_tokens


def affordable(state: State) -> int:
    """How many pending asks the token budget covers, even if they and all open ones cost the most they can."""
    if state.plan.budget.tokens is None:
        return len(state.pending)
    prompt, size = prompt_ceiling(state.plan.question, state.plan.turns), cache(size_of)
    left = state.plan.budget.tokens - state.spent.proposing_tokens - state.spent.judging_tokens
    left -= sum(ceiling_tokens(ask, prompt, size) for ask in state.open if not _is_paid(state, ask))
    for count, ask in enumerate(state.pending):
        left -= ceiling_tokens(ask, prompt, size)
        if left < 0:
            return count
    return len(state.pending)


def _is_paid(state: State, ask: Ask) -> bool:
    """Whether what an open ask costs is known and counted already: it waits only to be revealed."""
    return isinstance(ask, AskProposal) and ask.node in state.commits


def awaits_proposal(state: State, node: NodeId) -> bool:
    """Whether a node has been asked for a proposal and has not given one."""
    return any(isinstance(ask, AskProposal) and ask.node == node for ask in state.open)


def issue(state: State) -> tuple[State, list[Effect]]:
    """Send the pending asks that the budget covers now; drop the rest only when nothing is left to wait for."""
    if not state.pending:
        return state, []
    covered = affordable(state)
    sent, rest = state.pending[:covered], state.pending[covered:]
    ballots = sum(isinstance(ask, AskBallot) for ask in sent)
    count = replace(state.count, asked=state.count.asked + ballots)
    state = replace(state, open=state.open + sent, pending=rest, count=count)
    if rest and not state.open:
        unasked = {ask.node: NOT_ASKED for ask in rest if isinstance(ask, AskProposal)}
        state = replace(state, pending=(), failures={**state.failures, **unasked})
    return state, list(sent)


def settled(state: State) -> bool:
    """Nothing is being worked on and nothing waits to be."""
    return not state.open and not state.pending
