"""Commit and reveal, and hedging, fed by hand: no engines, no clock, no network."""

import hashlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.strategies.committee.test_round import Drive, failed
from waggle.core.errors import RemoteProtocolError
from waggle.core.ids import NodeId, RoundId
from waggle.core.round_effects import AskProposal, AskReveal, CancelProposal, Effect, SetTimer
from waggle.core.round_picture import Phase
from waggle.core.round_values import (
    Budget,
    DeadlinePassed,
    Event,
    Plan,
    Promise,
    Proposal,
    ProposalCommitted,
    ProposalReceived,
    Standing,
)
from waggle.node.chance import draw
from waggle.strategies.committee.hedge import SLOWER
from waggle.strategies.machine import replay
from waggle.strategies.promises import commitment
from waggle.strategies.ways import begin

NODES = tuple(NodeId(name) for name in "abc")
SPARE = tuple(NodeId(name) for name in "xy")
NONCE = "00" * 16


def plan(**changes: object) -> Plan:
    standings = tuple(Standing(node=node, expected_seconds=4.0) for node in NODES)
    spare = tuple(Standing(node=node) for node in SPARE)
    base = Plan(
        round_id=RoundId("00"), question="6 * 7?", proposers=standings, judges=(), standby=spare, commit_reveal=True
    )
    return msgspec.structs.replace(base, **changes)


def bound(node: str, answer: str, tokens: int = 10) -> ProposalCommitted:
    return ProposalCommitted(
        at=1.0, node=NodeId(node), promise=Promise(digest=commitment(NodeId(node), answer, NONCE), tokens=tokens)
    )


def shown(node: str, answer: str, nonce: str = NONCE) -> ProposalReceived:
    return ProposalReceived(at=2.0, proposal=Proposal(node=NodeId(node), answer=answer, tokens=10), nonce=nonce)


def asked(effects: list[Effect]) -> list[str]:
    return [effect.node for effect in effects if isinstance(effect, AskProposal)]


def reveals(effects: list[Effect]) -> list[str]:
    return [effect.node for effect in effects if isinstance(effect, AskReveal)]


def stopped(effects: list[Effect]) -> list[str]:
    return [effect.node for effect in effects if isinstance(effect, CancelProposal)]


def test_answers_are_asked_for_only_when_all_have_committed() -> None:
    drive = Drive(plan())
    assert reveals(drive.feed(bound("a", "42"))) == []
    assert reveals(drive.feed(bound("b", "42"))) == []
    assert reveals(drive.feed(bound("c", "41"))) == list(NODES)
    for node, answer in zip(NODES, ["42", "42", "41"], strict=True):
        drive.feed(shown(node, answer))
    assert drive.outcome.answer == "42"
    assert drive.outcome.spent.proposing_tokens == 30
    assert replay(begin(drive.state.plan), drive.events, draw)[-1].outcome == drive.outcome


def test_a_failure_is_not_waited_for_and_its_standby_must_commit_too() -> None:
    drive = Drive(plan())
    drive.feed(bound("a", "42"))
    drive.feed(bound("b", "42"))
    assert asked(drive.feed(failed("c"))) == ["x"]
    assert reveals(drive.feed(bound("x", "42"))) == ["a", "b", "x"]


def test_the_commit_deadline_fails_the_late_and_asks_the_others_to_reveal() -> None:
    drive = Drive(plan())
    drive.feed(bound("a", "42"))
    effects = drive.feed(DeadlinePassed(at=28.8, phase="commit"))
    assert reveals(effects) == ["a"]
    assert stopped(effects) == ["b", "c"]
    drive.refuse(bound("b", "41"), "nobody is waiting")
    drive.feed(shown("a", "42"))
    assert drive.outcome.answer == "42"
    assert drive.outcome.reasons == {"b": "no commitment in time", "c": "no commitment in time"}


def test_nobody_committing_ends_the_round_at_the_commit_deadline() -> None:
    drive = Drive(plan())
    drive.feed(DeadlinePassed(at=28.8, phase="commit"))
    assert drive.outcome.answer is None


def test_one_who_commits_and_does_not_reveal_is_left_out_at_the_deadline() -> None:
    drive = Drive(plan())
    for node in NODES:
        drive.feed(bound(node, "42"))
    drive.feed(shown("a", "42"))
    drive.feed(DeadlinePassed(at=36.0, phase="propose"))
    assert drive.outcome.reasons == {"b": "no answer in time", "c": "no answer in time"}
    assert drive.outcome.candidates[0].supporters == ("a",)


def test_an_answer_other_than_the_committed_one_is_refused() -> None:
    drive = Drive(plan())
    for node in NODES:
        drive.feed(bound(node, "42"))
    drive.refuse(shown("a", "41"), "not the one it committed to")
    drive.refuse(shown("a", "42", nonce="11" * 16), "not the one it committed to")
    drive.refuse(shown("a", "\ud800"), "not valid Unicode")
    drive.feed(shown("a", "42"))


def test_a_copied_commitment_cannot_be_opened() -> None:
    drive = Drive(plan())
    drive.feed(bound("a", "42"))
    copied = ProposalCommitted(at=1.0, node=NODES[1], promise=Promise(digest=commitment(NODES[0], "42", NONCE)))
    drive.feed(copied)
    drive.feed(bound("c", "40"))
    drive.refuse(shown("b", "42"), "not the one it committed to")


def test_an_answer_before_the_reveal_is_refused() -> None:
    drive = Drive(plan())
    drive.refuse(shown("a", "42"), "before it was asked")
    drive.feed(bound("a", "42"))
    drive.refuse(shown("a", "42"), "before it was asked")


@pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 65, "G" * 64, "é" * 64])
def test_a_commitment_that_is_no_digest_is_refused(digest: str) -> None:
    Drive(plan()).refuse(ProposalCommitted(at=1.0, node=NODES[0], promise=Promise(digest=digest)), "no SHA-256")


def test_second_unasked_and_unwanted_commitments_are_refused() -> None:
    drive = Drive(plan())
    drive.feed(bound("a", "42"))
    drive.refuse(bound("a", "42"), "second commitment")
    drive.refuse(bound("stranger", "42"), "nobody is waiting")
    Drive(plan(commit_reveal=False)).refuse(bound("a", "42"), "nobody is waiting")


def test_a_commitment_frees_the_rest_of_its_budget_for_the_next_node() -> None:
    ceiling = len("6 * 7?") + 64 + 256
    drive = Drive(plan(budget=Budget(tokens=ceiling + 300)))
    assert asked(drive.effects) == ["a"]
    assert asked(drive.feed(bound("a", "42", tokens=20))) == ["b"]


def test_a_commitment_binds_node_nonce_and_answer_apart() -> None:
    digests = {
        commitment(NodeId("ab"), "c", "d"),
        commitment(NodeId("a"), "bc", "d"),
        commitment(NodeId("a"), "c", "bd"),
        commitment(NodeId("a"), "c", "d"),
    }
    assert len(digests) == 4
    parts = [b"waggle/commit/1", b"a", b"d", b"c"]
    assert (
        commitment(NodeId("a"), "c", "d")
        == hashlib.sha256(b"".join(len(part).to_bytes(8) + part for part in parts)).hexdigest()
    )


# --- hedging --------------------------------------------------------------------------------------------------------


def hedged(**changes: object) -> Drive:
    drive = Drive(plan(hedge_factor=2.0, **changes))
    timers = {(effect.phase, effect.node): effect.at for effect in drive.effects if isinstance(effect, SetTimer)}
    assert {node for phase, node in timers if phase == "hedge"} == {"a", "b", "c"}
    assert timers["hedge", NodeId("a")] == 8.0
    return drive


def test_a_slow_proposer_is_doubled_and_stopped_when_the_standby_is_ready() -> None:
    drive = hedged()
    drive.feed(bound("a", "42"))
    drive.feed(bound("b", "42"))
    assert asked(drive.feed(DeadlinePassed(at=8.0, phase="hedge", node=NodeId("c")))) == ["x"]
    effects = drive.feed(bound("x", "41"))
    assert stopped(effects) == ["c"]
    assert reveals(effects) == ["a", "b", "x"]
    assert drive.state.failures == {"c": SLOWER}


def test_the_standby_is_stopped_when_the_slow_proposer_is_ready_first() -> None:
    drive = hedged()
    drive.feed(DeadlinePassed(at=8.0, phase="hedge", node=NodeId("c")))
    assert stopped(drive.feed(bound("c", "42"))) == ["x"]
    drive.feed(bound("a", "42"))
    assert reveals(drive.feed(bound("b", "42"))) == list(NODES)


def test_without_commitments_hedging_works_as_well() -> None:
    drive = hedged(commit_reveal=False)
    drive.feed(DeadlinePassed(at=8.0, phase="hedge", node=NodeId("c")))
    assert stopped(drive.feed(shown("x", "42"))) == ["c"]
    drive.feed(shown("a", "42"))
    drive.feed(shown("b", "42"))
    assert drive.outcome.candidates[0].supporters == ("a", "b", "x")


def test_a_standby_that_the_budget_never_let_be_asked_is_not_told_to_stop() -> None:
    drive = hedged(commit_reveal=False, budget=Budget(tokens=980))
    drive.feed(DeadlinePassed(at=8.0, phase="hedge", node=NodeId("c")))
    assert [ask for ask in drive.state.pending if isinstance(ask, AskProposal) and ask.node == "x"]
    assert stopped(drive.feed(shown("c", "42"))) == []
    assert "x" in drive.state.failures


def test_a_node_that_was_in_time_is_not_doubled() -> None:
    drive = hedged()
    drive.feed(bound("a", "42"))
    assert drive.feed(DeadlinePassed(at=8.0, phase="hedge", node=NodeId("a"))) == []
    assert drive.feed(DeadlinePassed(at=8.0, phase="hedge", node=NodeId("stranger"))) == []


def test_when_one_of_a_pair_fails_the_other_goes_on_alone() -> None:
    drive = hedged()
    drive.feed(DeadlinePassed(at=8.0, phase="hedge", node=NodeId("c")))
    assert asked(drive.feed(failed("c", at=9.0))) == []
    drive.feed(bound("a", "42"))
    drive.feed(bound("b", "42"))
    assert reveals(drive.feed(bound("x", "42"))) == ["a", "b", "x"]


def test_when_both_of_a_pair_fail_the_next_standby_is_called_in() -> None:
    drive = hedged()
    drive.feed(DeadlinePassed(at=8.0, phase="hedge", node=NodeId("c")))
    drive.feed(failed("c", at=9.0))
    assert asked(drive.feed(failed("x", at=9.0))) == ["y"]


@pytest.mark.parametrize("seconds", [None, 4.0, 1e9], ids=["unknown", "known", "slow beyond the deadline"])
@pytest.mark.parametrize("commits", [True, False])
def test_a_standby_always_has_as_long_as_whom_it_doubles_had(seconds: float | None, commits: bool) -> None:
    slow = tuple(Standing(node=node, expected_seconds=seconds) for node in NODES)
    drive = Drive(plan(hedge_factor=2.0, commit_reveal=commits, proposers=slow))
    timers = {(effect.phase, effect.node): effect.at for effect in drive.effects if isinstance(effect, SetTimer)}
    deadline = timers["commit" if commits else "propose", NodeId("")]
    assert timers["hedge", NodeId("a")] == (8.0 if seconds == 4.0 else deadline / 2)


def test_without_a_standby_nobody_is_doubled() -> None:
    drive = Drive(plan(hedge_factor=2.0, standby=()))
    assert not [e for e in drive.effects if isinstance(e, SetTimer) and e.phase == "hedge"]


# --- whatever comes -------------------------------------------------------------------------------------------------

EVERYONE = (*NODES, *SPARE)
moves = st.lists(
    st.tuples(
        st.sampled_from(["commit", "show", "lie", "fail", "hedge", "deadline"]), st.integers(0, 4), st.integers(0, 2)
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(moves, st.booleans(), st.sampled_from([None, 900]))
def test_no_sequence_of_events_breaks_a_round_with_commitments(
    sequence: list[tuple[str, int, int]], commits: bool, tokens: int | None
) -> None:
    drive = Drive(plan(hedge_factor=2.0, commit_reveal=commits, budget=Budget(tokens=tokens)))
    for move, pick, value in sequence:
        if drive.state.phase is Phase.DONE:
            break
        before = drive.state
        try:
            drive.feed(_move(move, EVERYONE[pick], value))
        except RemoteProtocolError:
            assert drive.state is before
    if drive.state.phase is not Phase.DONE:
        drive.feed(DeadlinePassed(at=999.0, phase="round"))
    outcome = drive.outcome
    supporters = [node for candidate in outcome.candidates for node in candidate.supporters]
    assert len(supporters) == len(set(supporters)) <= len(NODES)
    if commits:
        assert set(supporters) <= drive.state.commits.keys()
    assert replay(begin(drive.state.plan), drive.events, draw)[-1].outcome == outcome


def _move(move: str, node: NodeId, value: int) -> Event:
    match move:
        case "commit":
            return bound(node, "42")
        case "show":
            return shown(node, "42")
        case "lie":
            return shown(node, "41")
        case "fail":
            return failed(node)
        case "hedge":
            return DeadlinePassed(at=1.0, phase="hedge", node=NodeId(node))
        case _:
            return DeadlinePassed(at=1.0, phase=("commit", "propose", "round")[value])
