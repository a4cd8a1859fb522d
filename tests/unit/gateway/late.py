"""A swarm that fails only once its client has been sent something, so that the error comes within the stream."""

import asyncio
from dataclasses import dataclass, field

import httpx
from starlette.types import Message, Receive, Scope, Send

from tests.unit.gateway.conftest import FakeService
from waggle.core.asking import AskOptions
from waggle.core.round_values import Record
from waggle.gateway.app import make_app
from waggle.gateway.options import GatewayOptions
from waggle.strategies.machine import Watch


@dataclass
class LateService(FakeService):
    """Answers or fails as it is told to, after `began`."""

    began: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(
        self, question: str, options: AskOptions, watch: Watch | None = None, request: str | None = None
    ) -> Record:
        await self.began.wait()
        return await super().ask(question, options, watch, request)


def late_caller(fails: Exception) -> httpx.AsyncClient:
    """Calls a gateway whose rounds fail like this as soon as the head of the answer is out."""
    service = LateService(fails=fails)
    app = make_app(service, GatewayOptions(keep_alive_seconds=0.01))

    async def noticing(scope: Scope, receive: Receive, send: Send) -> None:
        async def noticed(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                service.began.set()

        await app(scope, receive, noticed)

    return httpx.AsyncClient(transport=httpx.ASGITransport(noticing), base_url="http://127.0.0.1:8080")
