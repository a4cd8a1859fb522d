"""From what a person filled in to how the question is asked. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from waggle.core.chat_values import Role, Turn
from waggle.core.errors import UsageError
from waggle.core.round_values import Budget, Record
from waggle.node.rounds.planning import AUTO, AskOptions
from waggle.node.services.service import ServedModel

MOST_SECONDS, MOST_TOKENS = 600.0, 10_000_000
DEFAULT_SECONDS = 60.0
KEPT_TURNS = 40
STRATEGIES = {
    "swarm": "Swarm: propose, judge, decide",
    AUTO: "Auto: one node where it surely knows, else the swarm",
    "vote": "Vote: the most frequent answer",
    "best": "Best node for this question",
}


@dataclass
class Form:
    """What is filled in on one page; `seconds` and `tokens` None = left empty."""

    strategy: str = "swarm"
    seconds: float | None = DEFAULT_SECONDS
    tokens: float | None = None
    min_confidence: float = 0.5
    remembers: bool = False


def form_of(budget: Budget, min_confidence: float) -> Form:
    """A form filled in with what holds at this gateway."""
    tokens = None if budget.tokens is None else float(min(budget.tokens, MOST_TOKENS))
    return Form(seconds=budget.seconds, tokens=tokens, min_confidence=min_confidence)


def strategies(models: Sequence[ServedModel]) -> dict[str, str]:
    """Every way of answering that can be chosen, with its name for people."""
    return STRATEGIES | {f"solo:{model.name}": f"Only {model.name}" for model in models}


def options_of(form: Form, turns: tuple[Turn, ...] = ()) -> AskOptions:
    """The options that a form stands for.

    Raises:
        UsageError: a number that cannot be meant, in words for the person.
    """
    seconds = DEFAULT_SECONDS if form.seconds is None else form.seconds
    _check("the time", seconds, 0.1, MOST_SECONDS, "seconds")
    if form.tokens is not None:
        _check("the token budget", form.tokens, 1, MOST_TOKENS, "tokens")
    _check("the confidence", form.min_confidence, 0, 1, "")
    return AskOptions(
        strategy=form.strategy,
        budget=Budget(tokens=None if form.tokens is None else int(form.tokens), seconds=seconds),
        min_confidence=form.min_confidence,
        turns=turns,
    )


def turns_of(past: Sequence[Record], question: str) -> tuple[Turn, ...]:
    """The conversation so far and the new question; rounds without an answer are left out."""
    turns = []
    for record in past:
        if record.outcome.answer is not None and not record.outcome.abstained:
            turns.append(Turn(role=Role.USER, content=record.plan.question))
            turns.append(Turn(role=Role.ASSISTANT, content=record.outcome.answer))
    if not turns:
        return ()
    return (*turns[-KEPT_TURNS:], Turn(role=Role.USER, content=question))


def _check(name: str, value: float, least: float, most: float, unit: str) -> None:
    if not math.isfinite(value) or not least <= value <= most:
        raise UsageError(f"{name} must be between {least:g} and {most:,.0f} {unit}".rstrip())
