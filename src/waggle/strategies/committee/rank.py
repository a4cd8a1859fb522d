"""RANK: every judge gets its own schedule of pairs, both ways round, never its own words.

Ballots are bought in waves: the first is planned, each further one only while the answer is still in doubt, some
pairs are left to ask, and the budget allows.
"""

from collections import defaultdict
from collections.abc import Sequence

from msgspec.structs import replace

from waggle.consensus.schedule import JudgeSeat, next_batch
from waggle.core.engine_values import JudgeMethod
from waggle.core.errors import RemoteProtocolError
from waggle.core.failures import Cause, Failure
from waggle.core.ids import NodeId
from waggle.core.round_effects import AskBallot, Effect, Pair, brief_for
from waggle.core.round_picture import Phase
from waggle.core.round_values import Ballot, BallotCount, BallotFailed, BallotReceived, CandidateResult, Plan, Standing
from waggle.strategies.committee.state import Candidate, State, issue
from waggle.strategies.machine import Draw


def judges_of(state: State) -> tuple[Standing, ...]:
    """The judges whose ballots count for something; the others are not asked."""
    return tuple(standing for standing in state.plan.judges if standing.judge_weight > 0)


def next_wave(state: State, draw: Draw, leaders: Sequence[CandidateResult] = ()) -> tuple[State, list[Effect]]:
    """Plan and send one more wave of ballots, first of all on the leaders; no effects when nothing is left to ask."""
    wave = state.wave + 1
    judges = judges_of(state)
    asked = _asked(state)
    schedules = next_batch(
        len(state.candidates),
        [_seat(state, standing.node) for standing in judges],
        [sorted(asked[standing.node]) for standing in judges],
        pairs_per_judge=state.plan.pairs_per_judge,
        both_orders=state.plan.both_orders,
        judge_weights=[standing.judge_weight for standing in judges],
        focus=[leader.number for leader in leaders],
        rng=draw(state.plan.seed + wave),
    )
    asks = _interleaved(
        [
            [_ask(state, standing, first, second) for first, second in pairs]
            for standing, pairs in zip(judges, schedules, strict=True)
        ]
    )
    tried = state.tried | {(ask.judge, ask.pair.first, ask.pair.second) for ask in asks}
    return issue(replace(state, phase=Phase.RANK, wave=wave, pending=tuple(asks), tried=tried))


def is_open_ended(plan: Plan) -> bool:
    """Whether nobody said how often, or in which order, a judge is to be asked: then doubt alone buys another wave."""
    return plan.pairs_per_judge is None and plan.both_orders


def _interleaved(lists: list[list[AskBallot]]) -> list[AskBallot]:
    """First everyone's first pair, then everyone's second: if the budget ends early, all have been heard."""
    longest = max(map(len, lists), default=0)
    return [asks[turn] for turn in range(longest) for asks in lists if turn < len(asks)]


def _seat(state: State, node: NodeId) -> JudgeSeat:
    """What the schedule must know of a judge: its own candidate, and whether it stands there alone."""
    own = own_candidate(state, node)
    return JudgeSeat(own=own, sole_supporter=own is not None and len(state.candidates[own].members) == 1)


def own_candidate(state: State, node: NodeId) -> int | None:
    """The candidate a node's own proposal fell into."""
    for index, candidate in enumerate(state.candidates):
        if any(state.proposals[member].node == node for member in candidate.members):
            return index
    return None


def _asked(state: State) -> defaultdict[NodeId, list[tuple[int, int]]]:
    """What each judge was asked, in any order."""
    asked: defaultdict[NodeId, list[tuple[int, int]]] = defaultdict(list)
    for judge, first, second in state.tried:
        asked[judge].append((first, second))
    return asked


def _ask(state: State, standing: Standing, first: int, second: int) -> AskBallot:
    judge = standing.node
    chosen = state.plan.judge_method
    pair = Pair(
        first=first,
        second=second,
        first_text=words_for(state, state.candidates[first], judge),
        second_text=words_for(state, state.candidates[second], judge),
        method=standing.judge_method if chosen is JudgeMethod.AUTO else chosen,
        seed=state.plan.seed,
    )
    return AskBallot(judge=judge, brief=brief_for(state.plan, standing), pair=pair)


def words_for(state: State, candidate: Candidate, judge: NodeId | None = None) -> str:
    """A candidate in the words of its best-supported member, but never in the judge's own."""
    members = [m for m in candidate.members if state.proposals[m].node != judge] or list(candidate.members)
    best = max(members, key=lambda m: (state.proposals[m].self_confidence or 0.0, -m))
    return state.proposals[best].answer


def receive(state: State, event: BallotReceived) -> tuple[State, list[Effect]]:
    """Count a ballot; an unreadable one is counted as such and for nobody.

    Raises:
        RemoteProtocolError: not asked for, or answered already.
    """
    ballot = event.ballot
    state = _close(state, ballot.judge, ballot.first, ballot.second)
    tokens = max(0, ballot.tokens)
    spent = replace(
        state.spent,
        judging_tokens=state.spent.judging_tokens + tokens,
        prompt_tokens=state.spent.prompt_tokens + min(max(0, ballot.prompt_tokens), tokens),
    )
    return issue(replace(state, ballots=(*state.ballots, ballot), count=_counted(state, ballot), spent=spent))


def _counted(state: State, ballot: Ballot) -> BallotCount:
    if ballot.p is None:
        return replace(state.count, unparseable=state.count.unparseable + 1)
    return replace(state.count, cast=state.count.cast + 1)


def lose(state: State, event: BallotFailed) -> tuple[State, list[Effect]]:
    """A judge could not compare a pair: it counts as refused, for nobody."""
    state = _close(state, event.judge, event.first, event.second)
    state = replace(state, count=replace(state.count, refused=state.count.refused + 1))
    return issue(replace(state, failures={**state.failures, event.judge: event.failure}))


def _close(state: State, judge: NodeId, first: int, second: int) -> State:
    for place, ask in enumerate(state.open):  # ballots come about in the order asked: near the front
        if isinstance(ask, AskBallot) and ask.judge == judge and (ask.pair.first, ask.pair.second) == (first, second):
            return replace(state, open=state.open[:place] + state.open[place + 1 :])
    raise RemoteProtocolError(f"{judge}: a ballot that nobody is waiting for")


def give_up_waiting(state: State) -> State:
    """The ballots that are not in by the deadline are refused."""
    late = [ask.judge for ask in state.open if isinstance(ask, AskBallot)]
    count = replace(state.count, refused=state.count.refused + len(late))
    silent = {judge: Failure(Cause.LATE, "no ballot in time") for judge in late}
    return replace(state, open=(), pending=(), count=count, failures={**silent, **state.failures})
