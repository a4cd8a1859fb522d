"""Records as files: what is read back replays to its outcome, and a forged or damaged one is refused in a sentence."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.virtual import in_virtual_time
from waggle.core.asking import AskOptions
from waggle.core.errors import ProtocolError, UsageError, WaggleError
from waggle.core.ids import NodeId
from waggle.core.round_values import BallotReceived, ConfidenceModel, Record
from waggle.engines.script import Crasher, Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.history.records import MAX_RECORD_BYTES, load_record, save_record
from waggle.node.rounds.swarm import Swarm
from waggle.testing.clock import VirtualClock

QUESTION = "What is 6 * 7?"


@cache
@in_virtual_time
async def record(seed: int = 0) -> Record:
    """A round with two candidates, a failure and ballots both ways."""
    parts = [Script(seed=i, skill=float(i % 2), seconds_per_call=0.5, wrong_choices=1) for i in range(5)]
    parts.append(Script(conduct=Crasher()))
    engines = {NodeId(f"n{i}"): ScriptedEngine(part, {QUESTION: "42"}) for i, part in enumerate(parts)}
    return await Swarm(engines, clock=VirtualClock()).ask(QUESTION, AskOptions(seed=seed))


def test_a_record_survives_its_file_and_replays(tmp_path: Path) -> None:
    save_record(record(), tmp_path / "round.json")
    assert load_record(tmp_path / "round.json") == record()
    assert record().outcome.failures


def test_a_record_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        save_record(record(), tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load_record(tmp_path / "none.json")


def test_an_oversize_file_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(MAX_RECORD_BYTES + 1)
    with pytest.raises(UsageError, match="too large"):
        load_record(tmp_path / "large.json")


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"null", b'{"plan": {"round_id": "\xff"}}', b'{"events": [{"a": ' + b"[" * 100_000, b"\x00" * 100],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "round.json").write_bytes(content)
    with pytest.raises(UsageError, match="not a record of this version"):
        load_record(tmp_path / "round.json")


Forgery = Callable[[Record], Record]


def first_ballot_turned(honest: Record) -> Record:
    place, event = next((i, e) for i, e in enumerate(honest.events) if isinstance(e, BallotReceived))
    turned = replace(event, ballot=replace(event.ballot, p=1.0 - (event.ballot.p or 0.0)))
    return replace(honest, events=(*honest.events[:place], turned, *honest.events[place + 1 :]))


FORGERIES: dict[str, Forgery] = {
    "another answer": lambda r: replace(r, outcome=replace(r.outcome, answer="41")),
    "more confidence": lambda r: replace(r, outcome=replace(r.outcome, confidence=0.999)),
    "less spent": lambda r: replace(r, outcome=replace(r.outcome, spent=replace(r.outcome.spent, judging_tokens=1))),
    "no failures": lambda r: replace(r, outcome=replace(r.outcome, failures={})),
    "a ballot turned": first_ballot_turned,
    "an event left out": lambda r: replace(r, events=r.events[:2] + r.events[3:]),
    "the end cut off": lambda r: replace(r, events=r.events[:-1]),
    "an event twice": lambda r: replace(r, events=(*r.events[:3], r.events[2], *r.events[3:])),
    "events after the end": lambda r: replace(r, events=(*r.events, r.events[-1])),
    "started twice": lambda r: replace(r, events=(r.events[0], *r.events)),
    "no events": lambda r: replace(r, events=()),
    "a heavier judge": lambda r: replace(
        r, plan=replace(r.plan, judges=(replace(r.plan.judges[0], judge_weight=9.0), *r.plan.judges[1:]))
    ),
    "infinite weights": lambda r: replace(
        r, plan=replace(r.plan, judges=tuple(replace(judge, judge_weight=1e308) for judge in r.plan.judges))
    ),
    "another seed": lambda r: replace(r, plan=replace(r.plan, seed=-1, both_orders=False)),
    "no confidence model": lambda r: replace(
        r, plan=replace(r.plan, confidence=ConfidenceModel(intercept=0.0, coefficients=()))
    ),
    "a negative prior": lambda r: replace(r, plan=replace(r.plan, prior_ballots=-1.0)),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_record_is_refused(tmp_path: Path, forgery: str) -> None:
    save_record(FORGERIES[forgery](record()), tmp_path / "round.json")
    with pytest.raises(ProtocolError):
        load_record(tmp_path / "round.json")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_record_with_any_value_exchanged_is_refused_or_still_true(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    plain = msgspec.to_builtins(record())
    parents = list(_parents(plain))
    parent, key = data.draw(st.sampled_from(parents))
    parent[key] = data.draw(st.sampled_from([None, -1, 0, 1, 0.5, 1e300, 2**63, "", "n1", [], {}, True]))
    path = tmp_path_factory.getbasetemp() / "exchanged.json"
    path.write_bytes(msgspec.json.encode(plain))
    try:
        load_record(path)
    except WaggleError:
        return  # any other exception fails the test


def _parents(value: object) -> list[tuple[dict[str, object], str]]:
    """Every entry of every object in a JSON value."""
    found: list[tuple[dict[str, object], str]] = []
    if isinstance(value, dict):
        found += [(value, key) for key in value]
    if isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            found += _parents(inner)
    return found
