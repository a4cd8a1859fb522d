"""GET /v1/models: what can be asked for by name. The swarm in each of its ways, and every model of it alone.

GET /health/live and /health/ready are for whoever starts, stops and watches the gateway. They say nothing else.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from waggle.gateway.errors import unknown_model
from waggle.gateway.jobs.choosing import SOLO, STRATEGIES
from waggle.gateway.telling.description import ERRORS
from waggle.node.services.service import ServedModel, Service
from waggle.strategies.ways import SOLO as ALONE

router = APIRouter()
CREATED = int(time.time())
"""Models of a swarm come and go; all are said to be as old as this process."""
OWNER = "waggle"


class ModelFacts(BaseModel):
    """What OpenAI has no field for. Skills are shares of right answers by kind of question, "" for all kinds.

    `strategy` is the way of answering, such as auto (the gate: one node or the committee). `nodes` can be used now;
    `down` are others that have it, each with the reason why it cannot. `converses` says whether it reads a whole
    conversation or only the question at its end.
    """

    strategy: str
    nodes: Sequence[str]
    family: str | None = None
    context_tokens: int | None = None
    tokens_per_second: float | None = None
    embeds: bool = False
    converses: bool | None = None
    calls_tools: bool | None = None
    down: dict[str, str] = {}
    skills: dict[str, float] = {}


class ModelEntry(BaseModel):
    """A model on offer, as OpenAI has it."""

    id: str
    object: Literal["model"] = "model"
    created: int = CREATED
    owned_by: str = OWNER
    waggle: ModelFacts


class ModelList(BaseModel):
    """All models on offer."""

    object: Literal["list"] = "list"
    data: list[ModelEntry]


@router.get("/v1/models", tags=["models"], responses=ERRORS)
async def list_models(request: Request) -> ModelList:
    """List the models that can be asked for now."""
    service: Service = request.app.state.service
    return ModelList(data=list(entries_of(service.models())))


@router.get("/v1/models/{name:path}", tags=["models"], responses=ERRORS)
async def show_model(request: Request, name: str) -> ModelEntry:
    """Describe one model."""
    service: Service = request.app.state.service
    for entry in entries_of(service.models()):
        if entry.id == name:
            return entry
    raise unknown_model(name)


def entries_of(models: Sequence[ServedModel]) -> Iterator[ModelEntry]:
    """The swarm's ways of answering, then every model alone.

    The swarm can answer what its model with the most room can read: those with less leave it to the others.
    """
    there = [model for model in models if model.usable]
    everyone = sorted({node for model in there for node in model.nodes})
    known = [model.context_tokens for model in there if model.context_tokens > 0]
    for name, strategy in STRATEGIES.items():
        facts = ModelFacts(
            strategy=strategy,
            nodes=everyone,
            context_tokens=max(known, default=None),
            converses=any(model.converses for model in there),
            calls_tools=any(model.calls_tools for model in there),
        )
        yield ModelEntry(id=name, waggle=facts)
    for model in models:
        yield ModelEntry(id=SOLO + model.name, waggle=_facts_of(model))


def _facts_of(model: ServedModel) -> ModelFacts:
    return ModelFacts(
        strategy=ALONE,
        nodes=list(model.nodes),
        family=model.family or None,
        context_tokens=model.context_tokens or None,
        tokens_per_second=model.tokens_per_second,
        embeds=model.embeds,
        converses=model.converses,
        calls_tools=model.calls_tools,
        down={str(node): reason for node, reason in model.down.items()},
        skills=model.skills,
    )


@router.get("/health/live", tags=["health"])
async def live() -> dict[str, str]:
    """Tell that the process answers."""
    return {"status": "live"}


@router.get("/health/ready", tags=["health"], responses={503: {"description": "No model can be asked now"}})
async def ready(request: Request, response: Response) -> dict[str, str]:
    """Tell whether questions can be answered: some node has a model whose engine works."""
    service: Service = request.app.state.service
    if any(model.usable for model in service.models()):
        return {"status": "ready"}
    response.status_code = 503
    return {"status": "no model can be asked now"}
