"""How a model whose scores are in reach judges: by comparing probabilities rather than by reading its words.

RESOLVE works the question itself, once for all proposals, and asks how likely each of them is in the answer's place.
VERDICT and DIRECT ask how likely the two verdicts are, with a written check before or without. A model without an
answer marker was not taught these forms; it is asked in plain words as any other (`verdict.py`).
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from waggle.core.carried import owner
from waggle.core.engine_values import JudgeMethod, JudgeRequest, Sampling
from waggle.core.errors import TooLong
from waggle.engines.local.jobs import GenerateJob, Job, ScoreJob
from waggle.engines.local.text import encoded
from waggle.engines.sharing import SharedWork
from waggle.engines.verdict import clip_reason, find_verdict, judging_prompt
from waggle.models.hive import ModelCard
from waggle.models.prompts import VERDICT_MARKER, judging_question
from waggle.models.tokenizer import ChatTokenizer, Detokenizer

MOST_CHARACTERS = 16  # of a token, on average over a context: a proposal's characters beyond that are not looked at
REMEMBERED = 256  # workings, and as many scores again for each of 4 proposals


@dataclass
class Spent:
    """Tokens that were really computed for one judgement; what is remembered costs nothing."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, job: Job) -> None:
        """Count those of a job."""
        prompt_tokens, completion_tokens = job.used
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens


@dataclass(frozen=True)
class Working:
    """What the model wrote up to and including a marker; `tokens` are prompt and text, None without the marker."""

    tokens: tuple[int, ...] | None
    text: str


class LocalJudge:
    """Judges with one model; `run` has a job done by the worker thread."""

    def __init__(
        self, tokenizer: ChatTokenizer, card: ModelCard, context: int, run: Callable[[Job], Awaitable[None]]
    ) -> None:
        self._tokenizer = tokenizer
        self._card = card
        self._context = context
        self._run = run
        self._workings = SharedWork[Working](capacity=REMEMBERED, keep_seconds=math.inf)
        self._scores = SharedWork[float](capacity=4 * REMEMBERED, keep_seconds=math.inf)

    async def judge(self, request: JudgeRequest) -> tuple[float | None, str, Spent]:
        """P(first is better) or None, the text that was written, and what it cost."""
        spent = Spent()
        method = self._choose(request.method)
        if self._card.answer_marker is None:
            return *await self._judge_in_words(request, spent), spent
        if method is JudgeMethod.RESOLVE:
            working = await self._work(request.question, self._card.answer_marker, request.max_tokens, spent)
            return *await self._compare(working, (request.first, request.second), spent), spent
        question = judging_question(request.question, request.first, request.second)
        if method is JudgeMethod.DIRECT:
            prompt = await self._prompt(question)
            working = Working((*prompt, *self._tokenizer.encode(VERDICT_MARKER)), "")
        else:
            working = await self._work(question, VERDICT_MARKER, request.max_tokens, spent)
        return *await self._compare(working, ("A", "B"), spent, ended=False), spent

    def _choose(self, method: JudgeMethod) -> JudgeMethod:
        if method is not JudgeMethod.AUTO:
            return method
        return JudgeMethod(self._card.judge) if self._card.judge else JudgeMethod.RESOLVE

    async def _work(self, question: str, marker: str, max_tokens: int, spent: Spent) -> Working:
        """Write greedily up to the marker; the same question is worked once for all that an owner asks."""

        async def write() -> Working:
            job = GenerateJob(
                await self._prompt(question),
                max_tokens=max_tokens,
                end_tokens=self._tokenizer.end_tokens,
                sampling=Sampling(),
                on_token=_MarkerWatch(self._tokenizer, marker),
            )
            return self._read(await self._written(job, spent), marker)

        return await self._workings.do((owner(), question, marker, max_tokens), write)

    def _read(self, job: GenerateJob, marker: str) -> Working:
        text = self._tokenizer.decode(job.written)
        before, found, after = text.partition(marker)
        if not found:
            return Working(None, text)
        if not after:
            return Working(tuple(job.tokens), text)
        prompt = job.tokens[: job.prompt_length]  # the last token reached beyond the marker
        return Working((*prompt, *self._tokenizer.encode(before + found)), before + found)

    async def _compare(
        self, working: Working, texts: tuple[str, str], spent: Spent, *, ended: bool = True
    ) -> tuple[float | None, str]:
        """P(first) by how likely both texts are behind the working, `ended` as answers or to be gone on from."""
        if working.tokens is None or len(working.tokens) >= self._context:
            return None, clip_reason(working.text)
        scores = (self._score(working.tokens, text, spent, ended=ended) for text in texts)
        first, second = await asyncio.gather(*scores)
        return sigmoid(first - second), clip_reason(working.text)

    async def _score(self, prefix: tuple[int, ...], text: str, spent: Spent, *, ended: bool) -> float:
        """Log-likelihood of " text" behind `prefix`; of as much of it as the context holds."""

        async def compute() -> float:
            end = [min(self._tokenizer.end_tokens)] if ended else []
            tokens = await encoded(f" {text[: MOST_CHARACTERS * self._context]}", self._tokenizer.encode)
            return await self._likelihood(prefix, [*tokens, *end][: self._context - len(prefix)], spent)

        return await self._scores.do((owner(), prefix, text), compute)

    async def _judge_in_words(self, request: JudgeRequest, spent: Spent) -> tuple[float | None, str]:
        """Ask in plain words; where a side is named, ask how likely each side was in that place."""
        job = GenerateJob(
            await self._prompt(judging_prompt(request)),
            max_tokens=request.max_tokens,
            end_tokens=self._tokenizer.end_tokens,
            sampling=Sampling(seed=request.seed),
        )
        await self._written(job, spent)
        text = self._tokenizer.decode(job.written)
        found = find_verdict(text)
        if found is None or found.p == 0.5:
            return (None if found is None else found.p), clip_reason(text)
        return await self._weigh(job, found.at, spent), clip_reason(text)

    async def _weigh(self, job: GenerateJob, at: int, spent: Spent) -> float:
        """P(A) from the scores of both letters in the place of the one at character `at` of the text."""
        index, lead = self._place(job.written, at)
        prefix = tuple(job.tokens[: job.prompt_length + index])
        scores = []
        for letter in ("A", "B"):
            scores.append(await self._likelihood(prefix, self._tokenizer.encode(lead + letter), spent))
        return sigmoid(scores[0] - scores[1])

    def _place(self, tokens: list[int], at: int) -> tuple[int, str]:
        """Which token brought character `at`, and what that token brought before it."""
        detokenizer, begin = Detokenizer(self._tokenizer), 0
        for index, token in enumerate(tokens):
            piece = detokenizer.feed(token)
            if at < begin + len(piece):
                return index, piece[: at - begin]
            begin += len(piece)
        return len(tokens), ""

    async def _likelihood(self, prefix: tuple[int, ...], continuation: list[int], spent: Spent) -> float:
        job = ScoreJob(prefix, continuation)
        await self._run(job)
        spent.add(job)
        return sum(job.logprobs)

    async def _written(self, job: GenerateJob, spent: Spent) -> GenerateJob:
        await self._run(job)
        spent.add(job)
        return job

    async def _prompt(self, question: str) -> list[int]:
        prompt = await encoded(question, self._tokenizer.encode_prompt)
        if len(prompt) >= self._context:
            raise TooLong(f"judging takes {len(prompt)} tokens, the model's context has {self._context}")
        return prompt or [min(self._tokenizer.end_tokens)]


class _MarkerWatch:
    """Ends a generation at the token that completes the marker."""

    def __init__(self, tokenizer: ChatTokenizer, marker: str) -> None:
        self._detokenizer = Detokenizer(tokenizer)
        self._marker = marker
        self._tail = ""

    def __call__(self, token: int, logprob: float) -> bool:
        """Whether the marker is there."""
        text = self._tail + self._detokenizer.feed(token)
        self._tail = text[-len(self._marker) :]
        return self._marker in text


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), without overflow: the softmax of two scores that differ by x."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
