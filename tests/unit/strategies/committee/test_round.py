"""The round's rules, fed by hand: no engines, no clock, no network."""

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waggle.core.engine_values import JudgeMethod
from waggle.core.errors import LocalProtocolError, RemoteProtocolError
from waggle.core.failures import Cause, Failure
from waggle.core.ids import NodeId, RoundId
from waggle.core.round_effects import AskBallot, AskProposal, CancelAll, Effect, Finish, SetTimer
from waggle.core.round_picture import Phase
from waggle.core.round_values import (
    Ballot,
    BallotFailed,
    BallotReceived,
    Budget,
    DeadlinePassed,
    Event,
    Outcome,
    Plan,
    Proposal,
    ProposalFailed,
    ProposalReceived,
    Record,
    RoundStarted,
    Standing,
)
from waggle.node.chance import draw
from waggle.strategies.committee.round import CommitteeMachine, step
from waggle.strategies.committee.state import State
from waggle.strategies.machine import Moment, check_record, replay
from waggle.strategies.ways import begin

NODES = tuple(NodeId(name) for name in "abcde")


def plan(**changes: object) -> Plan:
    standings = tuple(Standing(node=node) for node in NODES)
    base = Plan(round_id=RoundId("00"), question="6 * 7?", proposers=standings, judges=standings)
    return msgspec.structs.replace(base, **changes)


def said(node: str, answer: str, at: float = 1.0, sure: float | None = 0.8, tokens: int = 10) -> ProposalReceived:
    made = Proposal(node=NodeId(node), answer=answer, self_confidence=sure, tokens=tokens)
    return ProposalReceived(at=at, proposal=made)


def failed(node: str, reason: str = "off", at: float = 1.0) -> ProposalFailed:
    return ProposalFailed(at=at, node=NodeId(node), failure=Failure(Cause.UNAVAILABLE, reason))


class Drive:
    """Feeds events and answers ballots by a rule; keeps what happened."""

    def __init__(self, the_plan: Plan) -> None:
        self.state = State(plan=the_plan)
        self.events: list[Event] = []
        self.effects: list[Effect] = []
        self.feed(RoundStarted())

    def feed(self, event: Event) -> list[Effect]:
        self.state, effects = step(self.state, event, draw)
        self.events.append(event)
        self.effects += effects
        return effects

    def refuse(self, event: Event, match: str) -> None:
        before = self.state
        with pytest.raises(RemoteProtocolError, match=match):
            self.feed(event)
        assert self.state is before

    def say(self, *answers: str) -> None:
        """The proposers answer, one after the other."""
        for node, answer in zip(NODES, answers, strict=True):
            self.feed(said(node, answer))

    def answer_ballots(self, right: str, p: float | None = 0.9) -> None:
        """Every open ballot prefers the candidate whose words are `right`."""
        while self.state.phase is Phase.RANK:
            ask = next(ask for ask in self.state.open if isinstance(ask, AskBallot))
            value = None if p is None else 0.5
            if p is not None and right in (ask.pair.first_text, ask.pair.second_text):
                value = p if ask.pair.first_text == right else 1 - p
            ballot = Ballot(judge=ask.judge, first=ask.pair.first, second=ask.pair.second, p=value, tokens=5)
            self.feed(BallotReceived(at=2.0, ballot=ballot))

    @property
    def moment(self) -> Moment:
        return Moment(plan=self.state.plan, machine=CommitteeMachine(), state=self.state)

    @property
    def outcome(self) -> Outcome:
        assert self.state.outcome is not None
        return self.state.outcome


def test_a_round_asks_everyone_and_sets_both_deadlines() -> None:
    drive = Drive(plan())
    assert [e.node for e in drive.effects if isinstance(e, AskProposal)] == list(NODES)
    assert {e.phase: e.at for e in drive.effects if isinstance(e, SetTimer)} == {"propose": 36.0, "round": 60.0}


def test_judges_can_overrule_the_majority() -> None:
    drive = Drive(plan())
    drive.say("41", "41", "41", "42", "42")
    drive.answer_ballots("42")
    assert drive.outcome.answer == "42"
    assert drive.outcome.runner_up == "41"
    assert drive.outcome.ballots.cast == len(drive.state.ballots)
    assert isinstance(drive.effects[-1], Finish)


def test_without_judges_the_weighted_vote_decides() -> None:
    heavy = tuple(Standing(node=node, support_weight=3.0 if node == "e" else 1.0) for node in NODES)
    drive = Drive(plan(proposers=heavy, judges=()))
    drive.say("41", "41", "40", "39", "42")
    assert drive.outcome.answer == "42"
    assert drive.outcome.ballots.asked == 0


def test_equal_answers_in_other_words_are_one_candidate_and_need_no_ballot() -> None:
    drive = Drive(plan())
    drive.say("0.5", "1/2", ".50", "0.5", "+0.5")
    assert len(drive.outcome.candidates) == 1
    assert drive.outcome.candidates[0].supporters == NODES
    assert drive.outcome.runner_up is None


def test_a_judge_never_sees_its_own_words() -> None:
    drive = Drive(plan())
    answers = ["Forty two", "forty two!", "41", "40", "41"]
    drive.say(*answers)
    own = dict(zip(NODES, answers, strict=True))
    asks = [effect for effect in drive.effects if isinstance(effect, AskBallot)]
    assert asks
    for ask in asks:
        if own[ask.judge] != "41":  # "41" has two supporters with the same words
            assert own[ask.judge] not in (ask.pair.first_text, ask.pair.second_text)
    alone = [ask for ask in asks if ask.judge == "d"]
    assert alone
    assert all("40" not in (ask.pair.first_text, ask.pair.second_text) for ask in alone)


def test_judges_without_weight_are_not_asked() -> None:
    judges = tuple(Standing(node=node, judge_weight=1.0 if node == "c" else 0.0) for node in NODES)
    drive = Drive(plan(judges=judges))
    drive.say("1", "2", "3", "1", "2")
    assert {ask.judge for ask in drive.effects if isinstance(ask, AskBallot)} == {"c"}


def test_each_judge_is_asked_by_the_method_it_was_measured_to_judge_best_by() -> None:
    methods = dict(zip(NODES, [JudgeMethod.VERDICT, *[JudgeMethod.RESOLVE] * 4], strict=True))
    judges = tuple(Standing(node=node, judge_method=methods[node]) for node in NODES)
    for wanted in (JudgeMethod.AUTO, JudgeMethod.DIRECT):
        drive = Drive(plan(judges=judges, judge_method=wanted))
        drive.say("1", "2", "3", "1", "2")
        asks = [effect for effect in drive.effects if isinstance(effect, AskBallot)]
        assert {ask.judge for ask in asks} == set(NODES)
        for ask in asks:
            assert ask.pair.method is (methods[ask.judge] if wanted is JudgeMethod.AUTO else wanted)


def test_unreadable_ballots_count_for_nobody() -> None:
    drive = Drive(plan())
    drive.say("1", "2", "1", "2", "1")
    drive.answer_ballots("2", p=None)
    assert drive.outcome.answer == "1"  # the vote, as if nobody had judged
    assert drive.outcome.ballots.cast == 0
    assert drive.outcome.ballots.unparseable > 0


def test_a_silent_proposer_costs_its_share_and_nothing_more() -> None:
    drive = Drive(plan())
    drive.feed(said("a", "42"))
    drive.feed(failed("b", "crashed"))
    effects = drive.feed(DeadlinePassed(at=36.0, phase="propose"))
    assert any(isinstance(effect, CancelAll) for effect in effects)
    assert drive.outcome.answer == "42"
    assert drive.outcome.reasons == {"b": "crashed", **dict.fromkeys("cde", "no answer in time")}


def test_silent_judges_do_not_hold_the_round_beyond_its_budget() -> None:
    drive = Drive(plan())
    drive.say("1", "2", "1", "2", "1")
    drive.feed(DeadlinePassed(at=60.0, phase="round"))
    assert drive.outcome.answer == "1"
    assert drive.outcome.ballots.refused == drive.outcome.ballots.asked > 0
    assert drive.outcome.spent.seconds == 60.0


def test_nobody_answers_and_the_round_abstains() -> None:
    drive = Drive(plan())
    for node in NODES:
        drive.feed(failed(node))
    assert drive.outcome.answer is None
    assert drive.outcome.abstained
    assert drive.outcome.confidence == 0.0


def test_low_confidence_buys_further_waves_and_then_abstains_with_a_best_guess() -> None:
    drive = Drive(plan(min_confidence=0.9999, pairs_per_judge=1, stop_level=1.0))
    drive.say("1", "2", "3", "4", "5")
    drive.answer_ballots("1", p=0.6)
    assert drive.state.wave == 3
    assert drive.outcome.abstained
    assert drive.outcome.answer == "1"


def test_a_standby_is_called_in_for_a_failed_proposer() -> None:
    drive = Drive(plan(proposers=(Standing(node=NodeId("a")),), standby=(Standing(node=NodeId("b")),), judges=()))
    effects = drive.feed(failed("a"))
    assert [effect.node for effect in effects if isinstance(effect, AskProposal)] == ["b"]
    drive.feed(said("b", "42"))
    assert drive.outcome.answer == "42"


def test_the_token_budget_is_a_ceiling() -> None:
    budget = Budget(tokens=700)
    drive = Drive(plan(budget=budget, max_tokens=100))
    asked = [effect for effect in drive.effects if isinstance(effect, AskProposal)]
    assert 0 < len(asked) < len(NODES)  # the rest waits for what the first ones leave over
    while drive.state.phase is Phase.PROPOSE:
        ask = drive.state.open[0]
        assert isinstance(ask, AskProposal)
        drive.feed(said(ask.node, ask.node, tokens=170))
    drive.answer_ballots("a")
    spent = drive.outcome.spent
    assert spent.proposing_tokens + spent.judging_tokens <= 700


@pytest.mark.parametrize(
    "event",
    [
        said("z", "42"),
        said("a", "x" * 70_000),
        said("a", "42", sure=math.nan),
        said("a", "42", sure=1.5),
        BallotReceived(at=1.0, ballot=Ballot(judge=NodeId("a"), first=0, second=1, p=0.5)),
        BallotFailed(at=1.0, judge=NodeId("a"), first=0, second=1, failure=Failure(Cause.UNAVAILABLE, "?")),
        failed("z", "?"),
    ],
)
def test_an_event_that_breaks_the_rules_is_refused_without_changing_state(event: Event) -> None:
    drive = Drive(plan())
    before = drive.state
    with pytest.raises(RemoteProtocolError):
        drive.moment.after(event, draw)
    assert drive.state is before


@pytest.mark.parametrize("p", [math.nan, math.inf, -0.1, 1.1])
def test_a_ballot_that_is_no_probability_is_refused(p: float) -> None:
    drive = Drive(plan())
    drive.say("1", "2", "1", "2", "1")
    ask = drive.state.open[0]
    assert isinstance(ask, AskBallot)
    ballot = Ballot(judge=ask.judge, first=ask.pair.first, second=ask.pair.second, p=p)
    with pytest.raises(RemoteProtocolError, match="probability"):
        drive.moment.after(BallotReceived(at=2.0, ballot=ballot), draw)


def test_the_same_node_cannot_propose_twice() -> None:
    drive = Drive(plan())
    drive.feed(said("a", "42"))
    drive.refuse(said("a", "43"), "nobody is waiting")


def test_nothing_is_accepted_after_the_end_or_before_the_start() -> None:
    drive = Drive(plan())
    drive.feed(DeadlinePassed(at=60.0, phase="round"))
    drive.refuse(said("a", "42"), "over")
    with pytest.raises(LocalProtocolError):
        step(State(plan=plan()), said("a", "42"), draw)


def test_a_record_survives_json_and_replays_to_the_same_outcome() -> None:
    drive = Drive(plan(seed=7))
    drive.say("41", "41", "40", "42", "42")
    drive.answer_ballots("42")
    record = Record(plan=drive.state.plan, events=tuple(drive.events), outcome=drive.outcome)
    back = msgspec.json.decode(msgspec.json.encode(record), type=Record)
    assert back == record
    check_record(begin(back.plan), back, draw)
    forged = msgspec.structs.replace(back, outcome=msgspec.structs.replace(back.outcome, answer="41"))
    with pytest.raises(LocalProtocolError, match="does not follow"):
        check_record(begin(forged.plan), forged, draw)


def test_the_order_of_arrival_does_not_change_who_wins() -> None:
    outcomes = []
    for order in (NODES, tuple(reversed(NODES))):
        drive = Drive(plan(seed=3))
        for node in order:
            drive.feed(said(node, {"a": "1", "b": "2", "c": "3", "d": "1", "e": "2"}[node]))
        drive.answer_ballots("3")
        outcomes.append((drive.outcome.answer, drive.outcome.candidates))
    assert outcomes[0] == outcomes[1]


moves = st.lists(
    st.tuples(st.sampled_from(["say", "fail", "ballot", "lose", "deadline"]), st.integers(0, 9), st.integers(0, 3)),
    max_size=80,
)


@settings(max_examples=150, deadline=None)
@given(moves, st.integers(0, 3), st.sampled_from([None, 900, 5000]))
def test_no_sequence_of_events_breaks_the_round(sequence: list[tuple[str, int, int]], seed: int, tokens: int) -> None:
    drive = Drive(plan(seed=seed, budget=Budget(tokens=tokens), max_tokens=50, min_confidence=0.5))
    for at, (move, pick, value) in enumerate(sequence):
        if drive.state.phase is Phase.DONE:
            break
        event = _move(drive.state, move, pick, value, float(at))
        before = drive.state
        try:
            drive.feed(event)
        except RemoteProtocolError:
            assert drive.state is before
    if drive.state.phase is not Phase.DONE:
        drive.feed(DeadlinePassed(at=999.0, phase="round"))
    outcome, count = drive.outcome, drive.outcome.ballots
    assert 0.0 <= outcome.confidence <= 1.0
    assert count.cast + count.refused + count.unparseable <= count.asked
    assert sum(len(candidate.supporters) for candidate in outcome.candidates) == len(drive.state.proposals)
    assert math.isclose(sum(candidate.strength for candidate in outcome.candidates), 0.0, abs_tol=1e-6)
    assert replay(begin(drive.state.plan), drive.events, draw)[-1].outcome == outcome


def _move(state: State, move: str, pick: int, value: int, at: float) -> Event:
    ask = state.open[pick % len(state.open)] if state.open else None
    match move:
        case "say":
            return said(NODES[pick % 5], str(value), at, tokens=40)
        case "fail":
            return failed(NODES[pick % 5], at=at)
        case "ballot" if isinstance(ask, AskBallot):
            p = None if value == 3 else value / 2
            ballot = Ballot(judge=ask.judge, first=ask.pair.first, second=ask.pair.second, p=p, tokens=40)
            return BallotReceived(at=at, ballot=ballot)
        case "lose" if isinstance(ask, AskBallot):
            return BallotFailed(
                at=at,
                judge=ask.judge,
                first=ask.pair.first,
                second=ask.pair.second,
                failure=Failure(Cause.UNAVAILABLE, "off"),
            )
        case _:
            return DeadlinePassed(at=at, phase="propose" if value else "round")
