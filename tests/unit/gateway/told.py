"""A model that says what it is told to, behind a gateway; and what a client sees of its stream of a response."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
from openai.types.responses import (
    FunctionToolParam,
    ResponseStreamEvent,
)
from pydantic import TypeAdapter

from tests.unit.gateway.conftest import Serve, client_of
from waggle.core.chat_values import ToolCall
from waggle.core.engine_values import EngineCard, Finish, GenerateRequest, Generation, StreamedToken
from waggle.core.errors import EngineUnavailable
from waggle.core.ids import NodeId
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.gateway.app import make_app
from waggle.gateway.options import GatewayOptions
from waggle.node.rounds.swarm import Swarm
from waggle.node.services.local import LocalService, make_local_service

EVENTS: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": None,
}


class Told(ScriptedEngine):
    """Writes these texts, one to a call, and then the last for ever; keeps what it was asked."""

    def __init__(self, *texts: str, calls: tuple[ToolCall, ...] = (), fails_after: int | None = None) -> None:
        super().__init__(Script(name="told"), {})
        self.texts, self.tool_calls, self.fails_after = list(texts), calls, fails_after
        self.requests: list[GenerateRequest] = []
        self.prompt_tokens = 3

    async def stream(self, request: GenerateRequest):  # type: ignore[no-untyped-def]  # noqa: ANN201
        self.requests.append(request)
        text = self.texts[min(len(self.requests), len(self.texts)) - 1]
        for number, piece in enumerate(text):
            if number == self.fails_after:
                raise EngineUnavailable("http://10.0.0.7 went away")
            yield StreamedToken(text=piece)
        cut = len(text) >= request.max_tokens
        finish = Finish.TOOL_CALLS if self.tool_calls else Finish.LENGTH if cut else Finish.STOP
        made = Generation(
            text=text,
            answer=text,
            trace="",
            prompt_tokens=self.prompt_tokens,
            completion_tokens=len(text),
            seconds=0.0,
            finish=finish,
            tool_calls=self.tool_calls,
        )
        yield StreamedToken(text="", generation=made)

    async def describe(self) -> EngineCard:
        return EngineCard(model="told", family="told", context_tokens=100, calls_tools=True)


@asynccontextmanager
async def told_by(serve: Serve, engine: ScriptedEngine, **options: Any) -> AsyncIterator[openai.AsyncOpenAI]:  # noqa: ANN401
    """OpenAI's client of a gateway to one engine."""
    app = make_app(await service_of(engine), GatewayOptions(**options))
    async with serve(app) as url, client_of(url) as client:
        yield client


async def service_of(engine: ScriptedEngine) -> LocalService:
    return await make_local_service(Swarm({NodeId("told"): engine}))


async def events_of(client: openai.AsyncOpenAI, **asked: object) -> list[ResponseStreamEvent]:
    """All events of a stream, each checked against the client's own types."""
    stream = await client.responses.create(stream=True, **asked)  # type: ignore[call-overload]
    return [EVENTS.validate_python(event.model_dump(by_alias=True, warnings="error")) async for event in stream]
