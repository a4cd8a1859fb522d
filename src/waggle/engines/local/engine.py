"""A model folder as an `Engine`: text at the front, the batched decoder in a worker thread behind it.

The event loop encodes, waits and decodes; every tensor operation is the host's. A cancelled call's work ends at the
model's next step. A conversation is laid out by the model's own chat template; where that has no place for several
turns, and by the bundled hive, its last question is answered alone. No tool is ever called. Knows nothing of rounds or
nodes.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from waggle.core.carried import waste
from waggle.core.engine_values import (
    EngineCard,
    GenerateRequest,
    Generation,
    Judgement,
    JudgeRequest,
    StreamedToken,
)
from waggle.core.errors import CheckpointError, EngineRefused, EngineUnavailable, TooLong
from waggle.engines.local.batcher import Batcher, Observer
from waggle.engines.local.host import LocalHost
from waggle.engines.local.jobs import EmbedJob, GenerateJob, Job
from waggle.engines.local.judging import LocalJudge
from waggle.engines.local.text import Writer, encoded, finished_generation, prompt_tokens
from waggle.models.checkpoint import load_decoder
from waggle.models.fused import FusedDecoder
from waggle.models.hive import ModelCard, read_card
from waggle.models.tokenizer import ChatTokenizer, load_tokenizer

MOST_WAITING = 1_024  # jobs of one engine
TRIAL_TOKENS = 8  # written to measure the speed of an engine that has not answered yet
NEW_SPEED = 0.3  # weight of the latest answer in the measured speed


@dataclass(frozen=True)
class LocalModel:
    """A loaded model folder."""

    name: str
    network: FusedDecoder
    tokenizer: ChatTokenizer
    card: ModelCard

    @property
    def converses(self) -> bool:
        """Whether it holds a conversation: a model taught to mark its answer, as the hive's, knows questions only."""
        return self.card.answer_marker is None and self.tokenizer.can_converse


def load_model(folder: Path, *, context: int = 4_096, dtype: torch.dtype = torch.float32) -> LocalModel:
    """Load a Hugging Face folder; `context` bounds the tokens of a sequence. Raises CheckpointError."""
    decoder = load_decoder(folder, dtype=dtype)
    tokenizer, card = load_tokenizer(folder), read_card(folder)
    if tokenizer.size > decoder.config.vocabulary:
        raise CheckpointError(
            f"{folder}: tokenizer.json has {tokenizer.size} tokens, the model only {decoder.config.vocabulary}"
        )
    return LocalModel(card.name or folder.resolve().name, FusedDecoder(decoder, context=context), tokenizer, card)


class LocalEngine:
    """One model's engine. Several may share a host, and with it one worker thread."""

    def __init__(
        self, model: LocalModel, host: LocalHost | None = None, *, slots: int = 32, observe: Observer | None = None
    ) -> None:
        """Without a `host` the engine has its own and closes it with itself; `observe` sees all hidden states."""
        self.model = model
        self._batcher = Batcher(model.network, slots=slots, observe=observe)
        self._owns_host = host is None
        self._host = LocalHost() if host is None else host
        self._host.attach(self._batcher)
        self._running: set[Job] = set()
        self._closed = False
        self._tokens_per_second: float | None = None
        self._judge = LocalJudge(model.tokenizer, model.card, model.network.context, self._run)

    @property
    def load(self) -> int:
        """Pieces of work that wait for or are in the worker thread."""
        return self._batcher.load

    async def generate(self, request: GenerateRequest) -> Generation:
        """Answer one question. Raises EngineError."""
        writer = Writer(self.model.tokenizer, request.stop) if any(request.stop) else None
        job = await self._generation(request, writer)
        began = time.monotonic()
        await self._run(job)
        return self._finished(job, request, time.monotonic() - began)

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamedToken, None]:
        """Answer one question token by token. Raises EngineError."""
        loop, tokens = asyncio.get_running_loop(), asyncio.Queue[StreamedToken | None]()

        def emit(text: str, logprob: float | None) -> None:
            _tell(loop, lambda: tokens.put_nowait(StreamedToken(text=text, logprob=logprob)))

        writer = Writer(self.model.tokenizer, request.stop, emit)
        job = await self._generation(request, writer)
        job.on_end = lambda: _tell(loop, lambda: tokens.put_nowait(None))
        began = time.monotonic()
        self._start(job)
        try:
            while (token := await tokens.get()) is not None:
                yield token
        finally:
            self._leave(job)
        generation = self._finished(job, request, time.monotonic() - began)
        yield StreamedToken(text=writer.rest(), generation=generation)

    async def judge(self, request: JudgeRequest) -> Judgement:
        """Compare two proposals. Raises EngineError."""
        began = time.monotonic()
        if request.max_tokens < 1:
            raise EngineRefused(f"max_tokens is {request.max_tokens}; at least 1 is needed")
        p, reason, spent = await self._judge.judge(request)
        return Judgement(
            p=p,
            reason=reason,
            prompt_tokens=spent.prompt_tokens,
            completion_tokens=spent.completion_tokens,
            seconds=time.monotonic() - began,
        )

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """The mean of each text's final hidden states, of length 1. Raises EngineError."""
        jobs = [EmbedJob(await self._tokens_of(text)) for text in texts]
        await asyncio.gather(*(self._run(job) for job in jobs))
        return [job.vector for job in jobs]

    async def describe(self) -> EngineCard:
        """Model, context, skills and the speed measured so far; an engine that was not asked yet tries itself."""
        if self._tokens_per_second is None and not self._closed:
            await self.generate(GenerateRequest(question="", max_tokens=TRIAL_TOKENS))
        card, config = self.model.card, self.model.network.config
        return EngineCard(
            model=self.model.name,
            family=card.family or config.family,
            context_tokens=self.model.network.context,
            converses=self.model.converses,
            answer_marker=card.answer_marker,
            parameters=self.model.network.parameters,
            skills=card.skills,
            tokens_per_second=self._tokens_per_second,
        )

    async def close(self) -> None:
        """End all calls with EngineUnavailable and leave the host."""
        if self._closed:
            return
        self._closed = True
        for job in list(self._running):
            job.end(EngineUnavailable("the engine was closed"))
        self._host.detach(self._batcher)
        if self._owns_host:
            await asyncio.to_thread(self._host.close)

    async def _generation(self, request: GenerateRequest, writer: Writer | None) -> GenerateJob:
        """The job of answering a request."""
        if request.max_tokens < 1:
            raise EngineRefused(f"max_tokens is {request.max_tokens}; at least 1 is needed")
        prompt = await prompt_tokens(request, self.model.tokenizer, converses=self.model.converses)
        if len(prompt) >= self.model.network.context:
            raise TooLong(
                f"the question takes {len(prompt)} tokens, the model's context has {self.model.network.context}"
            )
        return GenerateJob(
            prompt or [min(self.model.tokenizer.end_tokens)],
            max_tokens=request.max_tokens,
            end_tokens=self.model.tokenizer.end_tokens,
            sampling=request.sampling,
            on_token=writer,
        )

    async def _tokens_of(self, text: str) -> list[int]:
        """At least one token of a plain text. Raises EngineRefused for more than the context holds."""
        tokens = await encoded(text, self.model.tokenizer.encode)
        if len(tokens) > self.model.network.context:
            raise TooLong(f"a text takes {len(tokens)} tokens, the model's context has {self.model.network.context}")
        return tokens or [min(self.model.tokenizer.end_tokens)]

    def _finished(self, job: GenerateJob, request: GenerateRequest, seconds: float) -> Generation:
        if job.error is not None:
            raise job.error
        speed = len(job.logprobs) / max(seconds, 1e-9)
        old = speed if self._tokens_per_second is None else self._tokens_per_second
        self._tokens_per_second = old + NEW_SPEED * (speed - old)
        return finished_generation(
            job, self.model.tokenizer, stops=request.stop, marker=self.model.card.answer_marker, seconds=seconds
        )

    async def _run(self, job: Job) -> None:
        """Have a job done; cancelling this stops it."""
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        job.on_end = lambda: _tell(loop, lambda: None if ended.done() else ended.set_result(None))
        self._start(job)
        try:
            await ended
        finally:
            self._leave(job)
        if job.error is not None:
            raise job.error

    def _start(self, job: Job) -> None:
        if self._closed:
            raise EngineUnavailable("the engine was closed")
        if self._batcher.load >= MOST_WAITING:
            raise EngineUnavailable(f"{MOST_WAITING} requests are waiting already")
        self._running.add(job)
        self._host.submit(self._batcher, job)

    def _leave(self, job: Job) -> None:
        job.cancelled = True  # without effect on a job that has ended
        self._running.discard(job)
        if not job.finished:
            waste(*job.used)


def _tell(loop: asyncio.AbstractEventLoop, news: Callable[[], object]) -> None:
    """Hand something to the event loop from the worker's thread; a loop that is closed needs no news."""
    with suppress(RuntimeError):  # which is what a closed loop raises
        loop.call_soon_threadsafe(news)
