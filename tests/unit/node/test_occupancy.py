"""How full engines' batches are: told by those that can tell."""

from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.occupancy import occupancy_of


class Batched(ScriptedEngine):
    """An engine with a batch."""

    load = 3


def test_engines_that_can_tell_are_asked_each_time() -> None:
    batched = Batched(Script(), {})
    occupancy = occupancy_of({"ant": batched, "bee": ScriptedEngine(Script(), {})})
    assert occupancy() == {"ant": 3.0}
    batched.load = 5
    assert occupancy() == {"ant": 5.0}
