"""What a node offers the swarm: its engines' cards, with its own measurements where it has made any."""

from collections.abc import Callable, Mapping

from waggle.core.ids import NodeId
from waggle.core.mesh_values import ModelOffer
from waggle.engines.protocol import Engine
from waggle.node.calibration import Calibration

MAX_OFFERS = 16  # what an advert holds
MAX_SKILLS = 32
MAX_NAME = 128


async def offers_of(
    engines: Mapping[str, Engine], calibration: Calibration | None, speed_of: Callable[[str], float | None]
) -> tuple[ModelOffer, ...]:
    """One offer per engine; skills are the calibration's where it knows the model, else what the card says.

    Args:
        engines: by model name.
        speed_of: measured tokens per second of a model, None before the first answer.

    Raises:
        EngineError: an engine cannot describe itself.
    """
    return tuple(
        [await _offer(name, engines[name], calibration, speed_of(name)) for name in list(engines)[:MAX_OFFERS]]
    )


async def _offer(name: str, engine: Engine, calibration: Calibration | None, speed: float | None) -> ModelOffer:
    card = await engine.describe()
    measured = calibration.nodes.get(name) if calibration else None
    skills = (
        {kind: count.right / count.asked for kind, count in measured.proposer.items() if count.asked}
        if measured
        else card.skills
    )
    return ModelOffer(
        model=name[:MAX_NAME],
        family=card.family[:MAX_NAME],
        context_tokens=max(0, card.context_tokens),
        parameters=card.parameters,
        skills=dict(sorted(skills.items())[:MAX_SKILLS]),
        tokens_per_second=speed or card.tokens_per_second,
    )


def choose_by(calibration: Calibration | None, models: list[str]) -> Callable[[str], str]:
    """Which of a node's own models answers a question that names none: the most skilled at its kind."""
    known = [model for model in models if calibration and model in calibration.nodes]

    def choose(question: str) -> str:
        if calibration is None or not known:
            return models[0] if models else ""
        guess = calibration.guess(question)
        return max(known, key=lambda model: calibration.standing(NodeId(model), guess).skill)

    return choose
