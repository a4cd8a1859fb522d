"""Which models a request can be done by, and what of it they cannot honour: pure.

A tool can only be called by a model that calls tools, and a conversation only be read by one that reads whole
conversations. What nobody can do is refused by name; what nobody reads is told in the answer.
"""

from collections.abc import Sequence

from waggle.core.asking import AUTO, prompt_ceiling
from waggle.core.chat_values import Role, Turn
from waggle.core.engine_values import GenerateRequest
from waggle.gateway.errors import ApiError, small_budget, unavailable, unknown_model, unsupported
from waggle.gateway.shapes import WaggleOptions
from waggle.node.services.service import ServedModel
from waggle.strategies.ways import find_way, ways

SWARM, SOLO = "swarm", "solo/"
STRATEGIES = {SWARM: AUTO} | {f"{SWARM}/{way.name}": way.name for way in ways() if way.name != AUTO and not way.takes}
"""By the name of a model of the API that is none, the way of answering: "swarm" leaves it to the gate."""
OPTIONAL = ("judges", "proposers")
"""Options that not every way of answering honours."""
ROUND_ONLY = ("min_confidence", "judges", "proposers", "explain")
HARMLESS: dict[str, tuple[object, ...]] = {
    "min_confidence": (None, 0.0),
    "judges": (None, 0),
    "proposers": (None, 1),
    "explain": (None, False),
}
"""What every way of answering does anyway."""


def named_model(name: str, models: Sequence[ServedModel]) -> ServedModel | None:
    """The model that is asked for by name; None where the committee answers. Raises ApiError for an unknown name."""
    if name in STRATEGIES:
        return None
    chosen = name.removeprefix(SOLO)
    found = [model for model in models if model.name == chosen]
    if chosen == name or not found:
        raise unknown_model(name)
    return found[0]


def most_capable(models: Sequence[ServedModel]) -> ServedModel:
    """The model to call tools with: of those that can, the best skill over all kinds of question, then by name.

    Raises:
        ApiError: none of them calls tools.
    """
    usable = [model for model in models if model.usable]
    if not usable:
        raise unavailable()
    able = [model for model in usable if model.calls_tools]
    if not able:
        raise unsupported("tools", "no model of this swarm calls tools")
    return min(able, key=lambda model: (-_overall(model), -model.context_tokens, model.name))


def check_tools(model: ServedModel) -> None:
    """Raise ApiError where the model calls no tools."""
    if not model.calls_tools:
        raise unsupported("tools", "this model calls no tools")


def check_round_options(extension: WaggleOptions, strategy: str) -> None:
    """Raise ApiError for an option that rounds of this strategy cannot honour."""
    unused = [name for name in OPTIONAL if name not in find_way(strategy).honours]
    _refuse(extension, unused, "this way of asking has no such choice")


def check_no_round(extension: WaggleOptions) -> None:
    """Raise ApiError for an option that only a round can honour, where one model answers alone."""
    _refuse(extension, ROUND_ONLY, "one model answers here, and nobody judges it")


def would_answer_alone(
    model: ServedModel, models: Sequence[ServedModel], turns: Sequence[Turn], extension: WaggleOptions
) -> bool:
    """Whether a committee would be this one model again, and nothing was asked for that only a round has."""
    if not turns or any(getattr(extension, name) not in HARMLESS[name] for name in ROUND_ONLY):
        return False
    readers = [one for one in models if one.usable and one.converses]
    return [one.name for one in readers] == [model.name] and len(model.nodes) == 1


def _refuse(extension: WaggleOptions, names: Sequence[str], why: str) -> None:
    for name in names:
        if getattr(extension, name) not in HARMLESS[name]:
            raise unsupported(f"waggle.{name}", why)


def paid_for(asked: GenerateRequest, budget: int | None, longest: int) -> int:
    """How long an answer the budget pays for, where no text has more tokens than bytes. Raises ApiError for none."""
    if budget is None:
        return longest
    room = budget - prompt_ceiling(asked.question, asked.turns, asked.tools)
    if room < 1:
        raise small_budget()
    return min(longest, room)


def unread(turns: Sequence[Turn], readers: Sequence[ServedModel]) -> tuple[str, ...]:
    """What of a conversation none of these models reads: they answer the last question alone.

    Raises:
        ApiError: that would be without what a tool has just given.
    """
    if any(model.converses for model in readers) or not readers:
        return ()
    if turns[-1].role is Role.TOOL:
        message = "messages: no model that can be asked reads what a tool gave back"
        raise ApiError(400, message, code="unsupported_parameter", param="messages")
    told = [turn.role is Role.SYSTEM for turn in turns[:-1]]
    return (("system",) if any(told) else ()) + (("earlier turns",) if not all(told) else ())


def _overall(model: ServedModel) -> float:
    skills = model.skills
    return skills[""] if "" in skills else sum(skills.values()) / len(skills) if skills else 0.0
