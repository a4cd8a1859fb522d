"""What can be said of a question by keyword, checked at this door, and the options that it makes."""

from collections.abc import Sequence
from typing import Annotated, TypedDict

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from waggle.core.asking import AskOptions
from waggle.core.bounds import Probability, Seed
from waggle.core.chat_values import Role, Turn
from waggle.core.errors import UsageError
from waggle.strategies.ways import find_way

BUDGET = {"budget_tokens": "tokens", "budget_seconds": "seconds"}
SAMPLING = ("temperature", "seed")


class Asking(TypedDict, total=False):
    """Keywords of a question; what is left out is as in `options`, or else as usual.

    `strategy` is the way of answering: "committee" (the usual one), "auto", "vote", "best", "solo:MODEL", or one that
    was added. `budget_tokens` and `budget_seconds` are ceilings of the whole question. Below `min_confidence` in [0, 1]
    the swarm abstains. `max_tokens`, `temperature` and `seed` are of each answer. `turns` is what was said before the
    question. `proposers` and `judges` are how many are asked at most. `options` says everything at once, ablations too.
    """

    strategy: str
    budget_tokens: Annotated[int, Meta(ge=1)] | None
    budget_seconds: Annotated[float, Meta(gt=0.0, le=86_400.0)]
    min_confidence: Probability
    max_tokens: Annotated[int, Meta(ge=1, le=2**20)]
    temperature: Annotated[float, Meta(ge=0.0, le=100.0)]
    seed: Seed
    turns: Sequence[Turn]
    proposers: Annotated[int, Meta(ge=1, le=64)] | None
    judges: Annotated[int, Meta(ge=0, le=64)] | None
    options: AskOptions


def options_of(question: str, asking: Asking) -> AskOptions:
    """The options that these keywords make.

    Raises:
        UsageError: a keyword is none, its value cannot be, or there is no such strategy.
    """
    if unknown := asking.keys() - Asking.__annotations__.keys():
        raise UsageError(f"{min(unknown)!r} is no option of a question: there are {', '.join(Asking.__annotations__)}")
    try:
        given = dict(msgspec.convert(asking, Asking))
    except msgspec.ValidationError as error:
        fault, _, where = str(error).partition(" - at `$.")
        raise UsageError(f"{where.rstrip('`')}: {fault[:1].lower()}{fault[1:]}") from None
    options = asking.get("options", AskOptions())
    given.pop("options", None)
    budget = {field: given.pop(name) for name, field in BUDGET.items() if name in given}
    sampling = {field: given[field] for field in SAMPLING if field in given}
    given.pop("temperature", None)
    if "turns" in asking:
        given["turns"] = _with_question(tuple(asking["turns"]), question)
    find_way(asking.get("strategy", options.strategy))
    return replace(
        options, budget=replace(options.budget, **budget), sampling=replace(options.sampling, **sampling), **given
    )


def _with_question(turns: tuple[Turn, ...], question: str) -> tuple[Turn, ...]:
    """The whole conversation, which ends with the question; none where nothing was said before."""
    if turns and turns[-1].role is Role.USER:
        raise UsageError("turns: what was said before the question; leave the question itself out of it")
    return (*turns, Turn(role=Role.USER, content=question)) if turns else ()
