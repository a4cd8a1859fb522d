"""From what a person filled in to how the question is asked. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from waggle.core.asking import AUTO, AskOptions
from waggle.core.chat_values import Role, Turn
from waggle.core.errors import UsageError
from waggle.core.round_values import Budget, Record
from waggle.dashboard.frame.words import strategy_words
from waggle.node.services.service import ServedModel
from waggle.strategies.ways import argument_of, ways

MOST_SECONDS, MOST_TOKENS = 600.0, 10_000_000
DEFAULT_SECONDS = 60.0
KEPT_TURNS = 40
LEAST_SECONDS = 0.1
UNREAD = "Earlier turns are not sent along: no model that is asked this way reads them."


@dataclass
class Form:
    """What is filled in on one page; `seconds` and `tokens` None = left empty."""

    strategy: str = AUTO
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
    chosen = [
        (way, name)
        for way in ways()
        for name in ([f"{way.name}:{model.name}" for model in models] if way.takes else [way.name])
    ]
    return {name: f"{strategy_words(name)}, {way.says}" for way, name in chosen}


def unread_words(models: Sequence[ServedModel], strategy: str) -> str:
    """Why it is no use to send earlier turns along this way; empty where a model that may be asked reads them."""
    alone = argument_of(strategy)
    asked = [model for model in models if model.usable and alone in ("", model.name)]
    return UNREAD if asked and not any(model.converses for model in asked) else ""


def seconds_fault(value: float | None) -> str | None:
    """What is wrong with a time, in words; None where it can be meant."""
    return _fault(value, LEAST_SECONDS, MOST_SECONDS, "seconds")


def tokens_fault(value: float | None) -> str | None:
    """What is wrong with a token budget, in words; None where it can be meant."""
    return _fault(value, 1, MOST_TOKENS, "tokens")


def options_of(form: Form, turns: tuple[Turn, ...] = ()) -> AskOptions:
    """The options that a form stands for.

    Raises:
        UsageError: a number that cannot be meant, in words for the person.
    """
    seconds = DEFAULT_SECONDS if form.seconds is None else form.seconds
    _check("the time", seconds_fault(seconds))
    _check("the token budget", tokens_fault(form.tokens))
    _check("the confidence", _fault(form.min_confidence, 0, 1, ""))
    return AskOptions(
        strategy=form.strategy,
        budget=Budget(tokens=None if form.tokens is None else int(form.tokens), seconds=seconds),
        min_confidence=form.min_confidence,
        turns=turns,
    )


def turns_of(past: Sequence[Record], question: str) -> tuple[Turn, ...]:
    """The conversation so far and the new question; rounds without an answer, or without words, are left out."""
    turns = []
    for record in past:
        if record.plan.question and record.outcome.answer is not None and not record.outcome.abstained:
            turns.append(Turn(role=Role.USER, content=record.plan.question))
            turns.append(Turn(role=Role.ASSISTANT, content=record.outcome.answer))
    if not turns:
        return ()
    return (*turns[-KEPT_TURNS:], Turn(role=Role.USER, content=question))


def _fault(value: float | None, least: float, most: float, unit: str) -> str | None:
    if value is None or (math.isfinite(value) and least <= value <= most):
        return None
    return f"must be between {least:g} and {most:,.0f} {unit}".rstrip()


def _check(name: str, fault: str | None) -> None:
    if fault is not None:
        raise UsageError(f"{name} {fault}")
