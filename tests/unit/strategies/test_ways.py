"""Ways of answering that waggle does not bring: added by a program for itself, or installed with another package."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from waggle.core.asking import COMMITTEE, AskOptions
from waggle.core.errors import LocalProtocolError, UsageError
from waggle.core.ids import NodeId, RoundId
from waggle.core.round_effects import Effect
from waggle.core.round_picture import Phase, RoundPicture
from waggle.core.round_values import Event, Plan, Standing
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.rounds.swarm import Swarm
from waggle.strategies import ways
from waggle.strategies.machine import Draw
from waggle.strategies.ways import (
    BUILT_IN,
    Way,
    add_way,
    begin,
    find_way,
    is_plan_of,
    names,
    plan_round,
    remove_way,
    spoken,
)

MINE = Way("mine", "whoever comes first", takes="WHAT")


@pytest.fixture
def mine() -> Iterator[Way]:
    """A way of this process, for one test."""
    add_way(MINE)
    yield MINE
    remove_way("mine")


def plan() -> Plan:
    someone = (Standing(node=NodeId("ann")),)
    return Plan(round_id=RoundId("a"), question="?", proposers=someone, judges=someone)


def test_an_added_way_is_one_like_the_others(mine: Way) -> None:
    assert names()[: len(BUILT_IN) + 1] == (*BUILT_IN, "mine")
    assert "mine:WHAT" in spoken()
    assert find_way("mine:this") is mine
    planned = plan_round(plan(), AskOptions(strategy="mine:this"))
    assert is_plan_of(planned, "mine:this")
    assert begin(planned).plan.strategy == "mine:this"


def test_a_removed_way_is_unknown() -> None:
    add_way(MINE)
    remove_way("mine")
    with pytest.raises(UsageError, match="unknown strategy 'mine:this'"):
        find_way("mine:this")


@pytest.mark.parametrize("name", [COMMITTEE, "mine"])
def test_a_name_that_is_taken_is_refused(mine: Way, name: str) -> None:
    with pytest.raises(UsageError, match=f"a way '{name}' already"):
        add_way(Way(name, ""))


@pytest.mark.parametrize("name", ["", "a:b"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be called"):
        add_way(Way(name, ""))


@pytest.mark.parametrize("name", [COMMITTEE, "nobody's"])
def test_only_what_was_added_is_removed(name: str) -> None:
    with pytest.raises(UsageError, match="was added"):
        remove_way(name)
    assert COMMITTEE in names()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with two ways, neither of which is one."""
    (tmp_path / "others_ways.py").write_text("NONE = 7\n")
    (tmp_path / "others-1.dist-info").mkdir()
    rows = "[waggle.strategies]\nnone = others_ways:NONE\ngone = others_ways:GONE\n"
    (tmp_path / "others-1.dist-info" / "entry_points.txt").write_text(rows)
    monkeypatch.syspath_prepend(str(tmp_path))
    ways._installed.cache_clear()
    yield
    ways._installed.cache_clear()
    ways._load.cache_clear()


@pytest.mark.parametrize(
    ("name", "fault"), [("none", "others_ways:NONE is no .*Way"), ("gone", "of others_ways:GONE cannot be loaded")]
)
def test_an_installed_way_that_is_none_is_told_of_when_it_is_asked_for(installed: None, name: str, fault: str) -> None:
    assert {"none", "gone"} <= set(names())
    assert find_way(COMMITTEE).name == COMMITTEE
    assert [way.name for way in ways.ways()] == list(BUILT_IN)  # the others go on
    with pytest.raises(UsageError, match=fault):
        find_way(name)
    with pytest.raises(UsageError, match="already"):
        add_way(Way(name, ""))


class Broken:
    """A machine that fails at the first event."""

    def begin(self, plan: Plan) -> Plan:
        return plan

    def step(self, state: Plan, event: Event, draw: Draw) -> tuple[Plan, list[Effect]]:
        raise KeyError("/home/ann/secret")

    def view(self, state: Plan) -> RoundPicture:
        return RoundPicture(plan=state, phase=Phase.WAITING)


async def test_a_machine_that_fails_is_an_error_of_ours_that_tells_its_kind_alone() -> None:
    add_way(Way("broken", "", machine=Broken))
    try:
        engines = {NodeId("ann"): ScriptedEngine(Script(), {})}
        with pytest.raises(LocalProtocolError, match=r"the way 'broken' failed \(KeyError\)$"):
            await Swarm(engines).ask("?", AskOptions(strategy="broken"))
    finally:
        remove_way("broken")
