"""A finished round gone through again, and what is to be seen of it at each step."""

import pytest
from msgspec.structs import replace

from waggle.core.asking import AskOptions
from waggle.core.errors import LocalProtocolError, RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.core.round_picture import Part, Phase, RoundPicture, pairwise
from waggle.core.round_values import Ballot, Event, Plan, Record, Standing
from waggle.engines.script import Crasher, Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.history.records import replay_record
from waggle.node.observing.watching import Watched
from waggle.node.rounds.swarm import Swarm
from waggle.strategies.machine import Moment

TRUTH = {"6 * 7?": "42"}


async def ask(scripts: dict[str, Script], seen: list[RoundPicture] | None = None) -> Record:
    def watch(moment: Moment, event: Event) -> None:
        if seen is not None:
            seen.append(moment.picture())

    engines = {NodeId(name): ScriptedEngine(script, TRUTH) for name, script in scripts.items()}
    return await Swarm(engines).ask("6 * 7?", AskOptions(), watch)


def crowd() -> dict[str, Script]:
    return {f"n{seed}": Script(name=f"n{seed}", seed=seed, skill=0.5) for seed in range(5)}


async def test_a_replay_shows_what_watchers_saw() -> None:
    seen: list[RoundPicture] = []
    record = await ask(crowd(), seen)
    moments = replay_record(record)
    assert [moment.picture() for moment in moments] == seen
    assert moments[-1].outcome == record.outcome
    assert len(seen) == len(record.events)


async def test_events_that_are_no_round_are_refused() -> None:
    record = await ask(crowd())
    with pytest.raises((LocalProtocolError, RemoteProtocolError)):
        replay_record(replace(record, events=record.events[1:]))


async def test_the_picture_goes_from_thinking_to_ranked_candidates() -> None:
    seen: list[RoundPicture] = []
    record = await ask(crowd(), seen)
    assert {proposer.part for proposer in seen[0].proposers} == {Part.THINKING}
    assert seen[0].candidates == ()
    last = seen[-1]
    assert last.phase is Phase.DONE
    assert last.outcome == record.outcome
    assert [candidate.number for candidate in last.candidates] == [each.number for each in record.outcome.candidates]
    assert last.candidates[0].odds == 1.0
    odds = [candidate.odds or 0.0 for candidate in last.candidates]
    assert odds == sorted(odds, reverse=True)


async def test_a_node_that_fails_is_shown_with_its_reason() -> None:
    seen: list[RoundPicture] = []
    await ask(crowd() | {"bad": Script(name="bad", conduct=Crasher())}, seen)
    bad = next(proposer for proposer in seen[-1].proposers if proposer.node == "bad")
    assert bad.part is Part.FAILED
    assert "crashed" in bad.reason


def plan(*judges: Standing) -> Plan:
    return Plan(round_id="0", question="?", proposers=(), judges=judges)  # type: ignore[arg-type]


def test_pairs_are_weighted_means_of_both_orders() -> None:
    judges = plan(Standing(node=NodeId("a"), judge_weight=3.0), Standing(node=NodeId("b"), judge_weight=1.0))
    ballots = (
        Ballot(judge=NodeId("a"), first=0, second=1, p=0.9),
        Ballot(judge=NodeId("b"), first=1, second=0, p=0.9),
        Ballot(judge=NodeId("b"), first=0, second=2, p=None),
    )
    shares = pairwise(judges, ballots)
    assert shares == {(0, 1): pytest.approx(0.7), (1, 0): pytest.approx(0.3)}


def test_ballots_of_judges_without_weight_or_place_count_for_nobody() -> None:
    stranger = Ballot(judge=NodeId("x"), first=0, second=1, p=1.0)
    assert pairwise(plan(), (stranger,)) == {}


async def test_what_was_watched_is_drawn_once() -> None:
    watched = Watched()
    assert watched.take() is None
    engines = {NodeId(name): ScriptedEngine(script, TRUTH) for name, script in crowd().items()}
    record = await Swarm(engines).ask("6 * 7?", AskOptions(), watched.watch)
    picture = watched.take()
    assert picture is not None
    assert picture.outcome == record.outcome
    assert tuple(watched.events) == record.events
    assert watched.take() is None
