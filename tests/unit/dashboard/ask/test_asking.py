"""What a person filled in becomes the options of a question."""

import math

import pytest

from waggle.core.asking import AskOptions
from waggle.core.chat_values import Role
from waggle.core.errors import UsageError
from waggle.core.ids import NodeId
from waggle.core.round_values import Budget
from waggle.dashboard.ask.asking import Form, form_of, options_of, strategies, turns_of
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.rounds.swarm import Swarm
from waggle.node.services.service import ServedModel


def test_a_filled_in_form_becomes_options() -> None:
    options = options_of(Form(strategy="vote", seconds=12.0, tokens=500.0, min_confidence=0.9))
    assert (options.strategy, options.budget.seconds, options.budget.tokens) == ("vote", 12.0, 500)
    assert options.min_confidence == 0.9


def test_the_form_begins_with_what_the_gateway_grants() -> None:
    options = options_of(form_of(Budget(seconds=7.0, tokens=900), 0.8))
    assert (options.budget, options.min_confidence) == (Budget(seconds=7.0, tokens=900), 0.8)
    assert form_of(Budget(), 0.5) == Form()


def test_what_is_left_empty_has_the_default() -> None:
    options = options_of(Form(seconds=None, tokens=None))
    assert (options.budget.seconds, options.budget.tokens) == (60.0, None)


@pytest.mark.parametrize(
    "form",
    [
        Form(seconds=0.0),
        Form(seconds=math.nan),
        Form(seconds=1e9),
        Form(tokens=0.0),
        Form(tokens=math.inf),
        Form(min_confidence=1.5),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(form: Form) -> None:
    with pytest.raises(UsageError, match="must be between"):
        options_of(form)


def test_every_model_can_be_asked_alone() -> None:
    assert "solo:sage" in strategies([ServedModel(name="sage")])


async def test_earlier_turns_go_along_but_not_what_the_swarm_was_unsure_of() -> None:
    engines = {NodeId(name): ScriptedEngine(Script(name=name), {"6 * 7?": "42"}) for name in ("a", "b", "c")}
    swarm = Swarm(engines)
    sure = await swarm.ask("6 * 7?", AskOptions(min_confidence=0.0))
    unsure = await swarm.ask("6 * 7?", AskOptions(min_confidence=1.0))
    assert unsure.outcome.abstained
    turns = turns_of([sure, unsure], "And 8?")
    assert [(turn.role, turn.content) for turn in turns] == [
        (Role.USER, "6 * 7?"),
        (Role.ASSISTANT, "42"),
        (Role.USER, "And 8?"),
    ]
    assert turns_of([unsure], "And 8?") == ()
