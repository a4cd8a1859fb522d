"""One question, asked at each of the addresses."""

import httpx
from openai.types.chat import ChatCompletionUserMessageParam

from tests.unit.gateway.conftest import QUESTION, caller
from waggle.gateway.app import make_app
from waggle.gateway.options import GatewayOptions
from waggle.node.services.service import Service

USER: ChatCompletionUserMessageParam = {"role": "user", "content": QUESTION}
CHAT, TEXT, RESPONSES = PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/responses")
Reply = httpx.Response


def body_of(path: str = CHAT, /, **fields: object) -> dict[str, object]:
    """The question, as it is asked at each of the addresses."""
    said: dict[str, dict[str, object]] = {CHAT: {"messages": [USER]}, TEXT: {"prompt": QUESTION}}
    return {"model": "swarm", **said.get(path, {"input": QUESTION}), **fields}


async def sent(service: Service, path: str = CHAT, options: GatewayOptions | None = None, /, **fields: object) -> Reply:
    """What a gateway to this service answers to the question."""
    async with caller(make_app(service, options or GatewayOptions())) as client:
        return await client.post(path, json=body_of(path, **fields))
