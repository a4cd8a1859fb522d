"""What a node offers the swarm: its engines' cards, with its own measurements where it has made any. Pure."""

from collections.abc import Callable, Sequence

from waggle.core.engine_values import EngineCard
from waggle.core.ids import NodeId
from waggle.core.mesh_values import ModelOffer
from waggle.node.calibration import Calibration

MAX_OFFERS = 16  # what an advert holds
MAX_SKILLS = 32
MAX_NAME = 128


def offer_of(
    card: EngineCard,
    name: str | None = None,
    *,
    calibration: Calibration | None = None,
    speed: float | None = None,
    price: int = 0,
) -> ModelOffer:
    """An engine as an offer; skills are the calibration's where it knows the model, else what the card says.

    Args:
        name: the model's name here, the card's where this is left out.
        speed: measured tokens per second; None before the first answer.
        price: credits for 1,000 tokens.
    """
    name = card.model if name is None else name
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
        price=price,
        converses=card.converses,
        calls_tools=card.calls_tools,
        embeds=card.embeds,
    )


def choose_by(calibration: Calibration | None, usable: Callable[[], Sequence[str]]) -> Callable[[str], str]:
    """Which of a node's own models answers a question that names none: the most skilled at its kind.

    Args:
        usable: the models that work now, the default one first.
    """

    def choose(question: str) -> str:
        models = usable()
        known = [model for model in models if calibration and model in calibration.nodes]
        if calibration is None or not known:
            return models[0] if models else ""
        guess = calibration.guess(question)
        return max(known, key=lambda model: calibration.standing(NodeId(model), guess).skill)

    return choose
