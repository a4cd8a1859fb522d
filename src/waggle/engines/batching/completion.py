"""Turns the tokens of one generation into text: as they come, cut at stop strings, and as a finished `Generation`."""

import asyncio
from collections.abc import Callable, Sequence

from waggle.core.engine_values import Finish, Generation
from waggle.core.errors import CheckpointError, EngineRefused
from waggle.engines.answer import StopCutter, answer_start, self_confidence, split_answer
from waggle.engines.batching.jobs import GenerateJob
from waggle.models.tokenizer import ChatTokenizer, Detokenizer

LONG_TEXT = 4_096  # characters; longer ones are encoded beside the event loop
MOST_TEXT = 2**20  # characters; no model here can read more

Emit = Callable[[str, float | None], None]  # text to show, log-probability of its token


class Writer:
    """Listens to a job in the worker's thread; says when a stop string is complete and passes text on."""

    def __init__(self, tokenizer: ChatTokenizer, stops: Sequence[str], emit: Emit | None = None) -> None:
        self._detokenizer = Detokenizer(tokenizer)
        self._cutter = StopCutter(stops)
        self._emit = emit

    def __call__(self, token: int, logprob: float) -> bool:
        """Take one token; true once the text is to end here."""
        shown = self._cutter.feed(self._detokenizer.feed(token))
        if self._emit is not None:
            self._emit(shown, min(logprob, 0.0))
        return self._cutter.stopped

    def rest(self) -> str:
        """What was held back until the end; nothing behind a stop string."""
        return self._cutter.feed(self._detokenizer.rest()) + self._cutter.rest()


async def encoded(text: str, encode: Callable[[str], list[int]]) -> list[int]:
    """A text's tokens, without holding up the event loop. Raises EngineRefused where that cannot be done."""
    if len(text) > MOST_TEXT:
        raise EngineRefused(f"a text of {len(text)} characters, over {MOST_TEXT}")
    try:
        return encode(text) if len(text) <= LONG_TEXT else await asyncio.to_thread(encode, text)
    except (ValueError, CheckpointError) as error:  # a lone surrogate; a template that fails on this text
        raise EngineRefused(f"the text cannot be encoded: {error}") from error


def finished_generation(
    job: GenerateJob, tokenizer: ChatTokenizer, *, stops: Sequence[str], marker: str | None, seconds: float
) -> Generation:
    """Read a finished job: its text, its answer, and how sure the model was of that."""
    pieces, stopped = _pieces(job.written, tokenizer, stops)
    text = "".join(pieces)
    trace, answer = split_answer(text, marker)
    return Generation(
        text=text,
        answer=answer,
        trace=trace,
        prompt_tokens=job.prompt_length,
        completion_tokens=len(job.logprobs),
        seconds=seconds,
        finish=Finish.STOP if stopped else job.finish,
        logprobs=tuple(job.logprobs),
        self_confidence=self_confidence(job.logprobs[answer_start(pieces, marker) :]),
    )


def _pieces(tokens: Sequence[int], tokenizer: ChatTokenizer, stops: Sequence[str]) -> tuple[list[str], bool]:
    """The text that each token brought, up to a stop string, and whether there was one."""
    detokenizer, cutter = Detokenizer(tokenizer), StopCutter(stops)
    pieces = [cutter.feed(detokenizer.feed(token)) for token in tokens]
    rest = cutter.feed(detokenizer.rest()) + cutter.rest()
    if pieces:
        pieces[-1] += rest
    return pieces, cutter.stopped
