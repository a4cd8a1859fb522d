"""What is asked of the swarm, and what comes back: the gateway's own values, of which nothing is OpenAI's. Pure."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import Struct

from waggle.core.asking import AskOptions
from waggle.core.chat_values import ToolCall
from waggle.core.engine_values import Finish, GenerateRequest
from waggle.gateway.options import GatewayOptions
from waggle.node.services.service import ServedModel

JsonObject = dict[str, object]
SEED_STEP = 0x9E3779B97F4A7C15  # odd, so that no two choices of a request share a seed
SEED_BITS = 63


@dataclass(frozen=True)
class ForSwarm:
    """A question for the committee; its answer is cut at the first of `stop`.

    `ignored` is what of the request nobody who is asked reads; `reads` says whether they read more than the question.
    """

    question: str
    options: AskOptions
    stop: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    reads: bool = True


@dataclass(frozen=True)
class ForModel:
    """Work for one model, which may take `seconds`; `logprobs` says whether those are wanted, the rest as above."""

    model: str
    asked: GenerateRequest
    seconds: float
    logprobs: bool = False
    ignored: tuple[str, ...] = ()
    reads: bool = True


Job = ForSwarm | ForModel


@dataclass(frozen=True)
class ToolsFirst:
    """A turn in which a tool may be called: `calling` is done first and, where that calls none, `answering`."""

    calling: ForModel
    answering: ForSwarm


Task = Job | ToolsFirst


@dataclass(frozen=True)
class Setting:
    """What a request is read against: who is there, what the gateway allows, what the request is called."""

    models: Sequence[ServedModel]
    options: GatewayOptions
    request: str


class Written(Struct, frozen=True):
    """A token's text and its log-probability."""

    text: str
    logprob: float


class Answer(Struct, frozen=True, kw_only=True):
    """One finished choice. Tokens count all calls that it took; `logprobs` None = not asked for."""

    text: str
    finish: Finish = Finish.STOP
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[Written, ...] | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    waggle: JsonObject = {}

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.prompt_tokens + self.completion_tokens


class Head(Struct, frozen=True, kw_only=True):
    """What all parts of a response share: the request's id, when it was made, and the model's name as asked for."""

    request: str
    created: int
    model: str


def request_of(request: str, number: int) -> str:
    """The id of a request's choice: its own for the first, one that follows from it for the others."""
    if number == 0:
        return request
    return hashlib.blake2b(f"{request}/{number}".encode(), digest_size=16).hexdigest()


def seed_of(seed: int, number: int) -> int:
    """The seed of a choice: the request's for the first, one that follows from it for the others."""
    return seed if number == 0 else (seed + number * SEED_STEP) % 2**SEED_BITS
