"""The models of a swarm from the places where they are. Pure."""

from collections.abc import Iterable

from msgspec.structs import replace

from waggle.node.services.service import ServedModel
from waggle.node.solo.search import Place


def served_at(places: Iterable[Place]) -> tuple[ServedModel, ...]:
    """All models by name, each with the nodes that have it."""
    served: dict[str, ServedModel] = {}
    for place in places:
        model = _alone(place)
        known = served.get(model.name)
        served[model.name] = model if known is None else _merged(known, model)
    return tuple(served[name] for name in sorted(served))


def _alone(place: Place) -> ServedModel:
    offer = place.offer
    return ServedModel(
        name=offer.model,
        family=offer.family,
        context_tokens=offer.context_tokens,
        nodes=() if place.down else (place.node,),
        skills=offer.skills,
        tokens_per_second=offer.tokens_per_second,
        converses=offer.converses,
        calls_tools=offer.calls_tools,
        embeds=offer.embeds,
        down={place.node: place.down} if place.down else {},
    )


def _merged(known: ServedModel, more: ServedModel) -> ServedModel:
    """One more node with it: the first one's description, the least context, the best speed.

    What a node says that cannot be used counts for nothing beside one that can.
    """
    down = {**known.down, **more.down}
    if bool(known.nodes) != bool(more.nodes):
        return replace(known if known.nodes else more, down=down)
    contexts = [tokens for tokens in (known.context_tokens, more.context_tokens) if tokens]
    speeds = [speed for speed in (known.tokens_per_second, more.tokens_per_second) if speed]
    return replace(
        known,
        context_tokens=min(contexts, default=0),
        nodes=(*known.nodes, *(node for node in more.nodes if node not in known.nodes)),
        tokens_per_second=max(speeds, default=None),
        converses=known.converses and more.converses,
        calls_tools=known.calls_tools and more.calls_tools,
        embeds=known.embeds and more.embeds,
        down=down,
    )
