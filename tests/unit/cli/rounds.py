"""Finished rounds to show, played by make-believe engines in virtual time; some of them write hostile text."""

from collections.abc import Mapping

from tests.virtual import in_virtual_time
from waggle.core.asking import AskOptions
from waggle.core.ids import NodeId
from waggle.core.round_values import Record
from waggle.engines.script import Crasher, Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.rounds.swarm import Swarm
from waggle.strategies.machine import Watch
from waggle.testing.clock import VirtualClock

QUESTION = "What is 6 * 7?"
HOSTILE = "\x1b[31mred\x1b]0;title\x07 [bold]big[/] [/] :heart: \x9b2J \u202eleft\r\x08 \\[i] \\"
HOSTILE_NAME = NodeId("\x1b[2Jevil[/]")


def answering(answer: str) -> ScriptedEngine:
    """An engine that always gives this answer and judges well."""
    return ScriptedEngine(Script(skill=1.0, judge_skill=1.0, answer_marker=None), lambda question: answer)


def crashing() -> ScriptedEngine:
    """An engine whose failure is told in hostile words."""
    script = Script(name=HOSTILE, conduct=Crasher())
    return ScriptedEngine(script, lambda question: "42")


@in_virtual_time
async def play(
    engines: Mapping[NodeId, ScriptedEngine], *, watch: Watch | None = None, min_confidence: float = 0.0
) -> Record:
    """One round of the full method."""
    return await Swarm(engines, clock=VirtualClock()).ask(QUESTION, AskOptions(min_confidence=min_confidence), watch)


def agreed_round(*, min_confidence: float = 0.0) -> Record:
    """Two say 42, one says 41."""
    engines = {NodeId("ada"): answering("42"), NodeId("bea"): answering("42"), NodeId("cid"): answering("41")}
    return play(engines, min_confidence=min_confidence)


def hostile_engines() -> dict[NodeId, ScriptedEngine]:
    """Two who agree on a hostile answer, one of them under a hostile name, one who says 42, and one who crashes."""
    return {
        HOSTILE_NAME: answering(HOSTILE),
        NodeId("eve"): answering(HOSTILE),
        NodeId("ada"): answering("42"),
        NodeId("mal"): crashing(),
    }


def assert_inert(shown: str) -> None:
    """No control character but line breaks and, of colours, none: these consoles are not terminals."""
    assert [letter for letter in shown if not letter.isprintable() and letter != "\n"] == []
