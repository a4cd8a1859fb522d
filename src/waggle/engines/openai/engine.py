"""An engine behind any OpenAI-compatible server: Ollama, vLLM, llama.cpp, SGLang, LM Studio and their like.

One base URL, one model name. The server is not trusted (`openai.bounded_http`, `openai.wire`) and need not be
complete: where it gives no log-probabilities, self-confidence is None and verdicts are read from the text; where it
has no embeddings, `embed` is EngineRefused. Conversations and tools go to the server as they are, behind the configured
instructions. The key comes from an environment variable that the settings name, is sent to this one server and shows up
nowhere else.
"""

import asyncio
import math
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from enum import IntEnum
from hashlib import blake2b

import httpx
import msgspec

from waggle.core.carried import owner, waste
from waggle.core.engine_values import EngineCard, GenerateRequest, Generation, Judgement, JudgeRequest, StreamedToken
from waggle.core.errors import EngineRefused, EngineUnavailable
from waggle.engines.answer import last_generation
from waggle.engines.openai.asking import SEED_MASK, callable_tools, chat_ask, must_call
from waggle.engines.openai.bounded_http import BoundedHttp, HttpRefused
from waggle.engines.openai.settings import PromptCache, ServerSettings, checked_url, family_of, key_from_environment
from waggle.engines.openai.stream import StreamReader, tokens_within
from waggle.engines.openai.wire import (
    ChatAsk,
    ChatMessage,
    Chunk,
    EmbeddingAsk,
    EmbeddingList,
    Model,
    ModelList,
    StreamOptions,
    SwarmModel,
    TokenLogprob,
    read_as,
    written,
)
from waggle.engines.verdict import clip_reason, find_verdict, judging_prompt, verdict_probability, verdict_side

DONE = b"[DONE]"  # the last event of a stream
TOP_LOGPROBS = 5  # the most that every server grants
EMBEDDING_BATCH = 16  # 16 vectors of 16,384 numbers stay under the cap on bodies
TRIAL_TEXT, TRIAL_SECONDS = "a", 5.0  # embedded once, to see whether the server does


class Extras(IntEnum):
    """What a server is asked for beyond the text: token counts at the end, and log-probabilities as well."""

    NONE = 0
    COUNTS = 1
    ALL = 2


class OpenAIHttpEngine:
    """An `Engine` on the other side of HTTP; `in_flight` counts the calls at work."""

    def __init__(self, settings: ServerSettings, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Connect to nothing yet.

        Args:
            settings: server and model.
            transport: replaces the sockets in tests; closed with the engine.

        Raises:
            UsageError: the URL is not a plain http(s) address, or the named environment variable holds no usable key.
        """
        self.settings = settings
        url, key = checked_url(settings.base_url), key_from_environment(settings.key_variable)
        self._http = BoundedHttp(url, settings.bounds, key=key, transport=transport)
        self._extras = Extras.ALL
        self._embeds: bool | None = None if settings.embedding_model is None else True
        self._secret = secrets.token_bytes(32)

    @property
    def in_flight(self) -> int:
        """Calls at work."""
        return self._http.open_calls

    async def generate(self, request: GenerateRequest) -> Generation:
        """Answer one question; streamed under the hood, so that silence is noticed and cancelling stops the server."""
        return await last_generation(self.stream(request))

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamedToken, None]:
        """Answer one question token by token; the time the consumer takes counts towards `total_s`."""
        ask = chat_ask(self.settings.model, self.settings.instructions, request)
        reader = StreamReader(
            prompt=_spoken(ask),
            max_tokens=request.max_tokens,
            stops=request.stop,
            marker=self.settings.answer_marker,
            tools=callable_tools(request),
            must_call=must_call(request),
        )
        async with aclosing(self._read(reader, ask)) as tokens:
            async for token in tokens:
                yield token

    async def judge(self, request: JudgeRequest) -> Judgement:
        """Ask for a verdict; P from the log-probabilities of the verdict's token where the server gives them."""
        ask = ChatAsk(
            model=self.settings.model,
            messages=(ChatMessage("user", judging_prompt(request)),),
            max_tokens=request.max_tokens,
            temperature=0.0,
            top_p=1.0,
            seed=request.seed & SEED_MASK,
        )
        reader = StreamReader(prompt=_spoken(ask), max_tokens=ask.max_tokens, stops=(), marker=None)
        async with aclosing(self._read(reader, ask)) as tokens:
            generations = [token.generation async for token in tokens if token.generation is not None]
        generation = generations[-1]
        return Judgement(
            p=_verdict(generation.text, reader.tokens),
            reason=clip_reason(generation.text.rpartition("</think>")[2]),
            prompt_tokens=generation.prompt_tokens,
            completion_tokens=generation.completion_tokens,
            seconds=generation.seconds,
        )

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Unit-length vectors from the server's /embeddings."""
        batches = [tuple(texts[start : start + EMBEDDING_BATCH]) for start in range(0, len(texts), EMBEDDING_BATCH)]
        vectors = [vector for batch in batches for vector in await self._embed_batch(batch)]
        if len({len(vector) for vector in vectors}) > 1:
            raise EngineRefused("the server's embeddings differ in length: not usable")
        return vectors

    @property
    def stated(self) -> EngineCard:
        """What the settings alone say of the model."""
        settings = self.settings
        return EngineCard(
            model=settings.model,
            family=settings.family or family_of(settings.model),
            context_tokens=settings.context_tokens,
            converses=settings.turns,
            calls_tools=settings.tools,
            answer_marker=settings.answer_marker,
        )

    async def describe(self) -> EngineCard:
        """What /models tells of the model; the settings where the server does not list it."""
        model, stated = await self._listed_model(), self.stated
        if self._embeds is None:
            self._embeds = await self._tried_to_embed()
        swarm = (model and model.waggle) or SwarmModel()
        return msgspec.structs.replace(
            stated,
            converses=stated.converses and swarm.converses is not False,
            calls_tools=stated.calls_tools and swarm.calls_tools is not False,
            embeds=bool(self._embeds),
            context_tokens=(model and model.context_tokens()) or stated.context_tokens,
            parameters=model.meta.n_params if model and model.meta else None,
        )

    async def close(self) -> None:
        """Calls at work end with EngineUnavailable, and so do later ones."""
        await self._http.close()

    async def _read(self, reader: StreamReader, ask: ChatAsk) -> AsyncGenerator[StreamedToken, None]:
        clock = asyncio.get_running_loop()
        started = clock.time()
        last: StreamedToken | None = None
        try:
            async with aclosing(self._chunks(ask)) as chunks:
                async for chunk in chunks:
                    token = reader.feed(chunk)
                    if token is not None and token.text:
                        yield token
                    if reader.done:
                        break
            last = reader.end(clock.time() - started)
        finally:
            if last is None:
                waste(*reader.used)
        yield last

    async def _chunks(self, ask: ChatAsk) -> AsyncGenerator[Chunk, None]:
        """The events of a stream; comments and blank lines between them do not count."""
        async with aclosing(self._lines(ask)) as lines:
            async for line in lines:
                event = _event(line)
                if event == DONE:
                    return
                if event:
                    yield read_as(event, Chunk)

    async def _lines(self, ask: ChatAsk) -> AsyncGenerator[bytes, None]:
        """The lines of the answer, asked for with all extras first and, where the server refuses that, without."""
        if ask.max_tokens < 1:
            raise EngineRefused("max_tokens is below 1: ask for at least one token")
        ask, extras = self._kept_apart(ask), self._extras
        while True:
            try:
                async with aclosing(self._answered(ask, extras)) as lines:
                    async for line in lines:
                        self._extras = extras
                        yield line
                return
            except HttpRefused as refused:
                if extras is Extras.NONE or refused.status not in (400, 422):
                    raise
                extras = Extras(extras - 1)

    def _answered(self, ask: ChatAsk, extras: Extras) -> AsyncGenerator[bytes, None]:
        return self._http.lines("/chat/completions", _body(ask, extras), is_last=lambda line: _event(line) == DONE)

    def _kept_apart(self, ask: ChatAsk) -> ChatAsk:
        """With what makes the server keep this caller's prompts from serving another's; a salt tells no names."""
        match self.settings.cache:
            case PromptCache.SHARED:
                return ask
            case PromptCache.SALTED:
                words = msgspec.json.encode(owner())
                return msgspec.structs.replace(ask, cache_salt=blake2b(words, key=self._secret).hexdigest())
            case PromptCache.OFF:
                return msgspec.structs.replace(ask, cache_prompt=False)

    async def _embed_batch(self, batch: tuple[str, ...]) -> list[list[float]]:
        ask = EmbeddingAsk(model=self.settings.embedding_model or self.settings.model, input=batch)
        try:
            body = await self._http.fetch("POST", "/embeddings", written(ask))
        except HttpRefused as refused:
            if refused.status not in (400, 404, 405, 501):
                raise
            raise EngineRefused("the server gives no embeddings for this model: set embedding_model") from None
        found = sorted(read_as(body, EmbeddingList).data, key=lambda item: item.index)
        if [item.index for item in found] != list(range(len(batch))):
            raise EngineRefused("the server did not give one embedding for each text: not usable")
        return [_unit(item.embedding) for item in found]

    async def _tried_to_embed(self) -> bool | None:
        """Whether the server embeds under the model's own name: few do, and none says so. None = not known yet."""
        try:
            async with asyncio.timeout(TRIAL_SECONDS):
                return bool(await self._embed_batch((TRIAL_TEXT,)))
        except EngineRefused:
            return False
        except (EngineUnavailable, TimeoutError):
            return None

    async def _listed_model(self) -> Model | None:
        """The model's entry; servers with a single model call it as they like."""
        try:
            listed = read_as(await self._http.fetch("GET", "/models"), ModelList).data
        except HttpRefused as refused:
            if refused.status not in (404, 405, 501):
                raise
            return None
        name = self.settings.model
        same = [model for model in listed if model.id in (name, f"{name}:latest")]
        return next(iter(same or (listed if len(listed) == 1 else ())), None)


def _body(ask: ChatAsk, extras: Extras) -> bytes:
    """What goes out."""
    ask = msgspec.structs.replace(ask, stream=True)
    if extras >= Extras.COUNTS:
        ask = msgspec.structs.replace(ask, stream_options=StreamOptions(include_usage=True))
    if extras is Extras.ALL:
        ask = msgspec.structs.replace(ask, logprobs=True, top_logprobs=TOP_LOGPROBS)
    return written(ask)


def _event(line: bytes) -> bytes:
    """What a line of a stream tells; comments and blank lines tell nothing."""
    return line[len(b"data:") :].strip() if line.startswith(b"data:") else b""


def _spoken(ask: ChatAsk) -> str:
    """All that the model reads, to guess its tokens by where the server does not count them."""
    return "".join(message.content or "" for message in ask.messages)


def _verdict(text: str, tokens: Sequence[TokenLogprob]) -> float | None:
    """What the verdict's token and its rivals say; without them what the text says."""
    found = find_verdict(text)
    pieces = [token.token for token in tokens]
    if found is None or not "".join(pieces).startswith(text):
        return None if found is None else found.p
    said = tokens[tokens_within(pieces, found.at + 1) - 1]
    if verdict_side(said.token) is None:
        return found.p
    rivals = {rival.token: rival.logprob for rival in said.top_logprobs}
    p = verdict_probability(rivals | {said.token: said.logprob})
    return found.p if p is None else p


def _unit(vector: Sequence[float]) -> list[float]:
    length = math.hypot(*vector)
    if not math.isfinite(length) or length == 0.0:
        raise EngineRefused("the server gave an embedding without a direction: not usable")
    return [value / length for value in vector]
