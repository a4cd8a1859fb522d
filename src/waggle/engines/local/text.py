"""Between text and tokens: a request as the prompt of a model, and what the model writes as text.

A conversation becomes the messages that a model's own chat template takes. Templates differ in what they bear: many
want user and assistant to take turns, some take no instructions of the system. So turns of one speaker that follow each
other become one, and instructions go where the template has a place for them. These models call no tools: calls made
before, and what came of them, are told in words.
"""

import asyncio
from collections.abc import Callable, Sequence

from waggle.core.chat_values import Role, Turn
from waggle.core.engine_values import Finish, GenerateRequest, Generation
from waggle.core.errors import CheckpointError, EngineRefused
from waggle.engines.answer import StopCutter, answer_start, self_confidence, split_answer
from waggle.engines.local.jobs import GenerateJob
from waggle.models.chat_template import Message
from waggle.models.tokenizer import ChatTokenizer, Detokenizer

LONG_TEXT = 4_096  # characters; longer ones are encoded beside the event loop
MOST_TEXT = 2**20  # characters; no model here can read more
OPTIONAL = ("auto", "none")  # choices that an engine without tools can honour

Emit = Callable[[str, float | None], None]  # text to show, log-probability of its token


async def encoded(text: str, encode: Callable[[str], list[int]]) -> list[int]:
    """A text's tokens, without holding up the event loop. Raises EngineRefused where that cannot be done."""
    if len(text) > MOST_TEXT:
        raise EngineRefused(f"a text of {len(text)} characters, over {MOST_TEXT}")
    try:
        return encode(text) if len(text) <= LONG_TEXT else await asyncio.to_thread(encode, text)
    except (ValueError, CheckpointError) as error:  # a lone surrogate; a template that fails on this text
        raise EngineRefused(f"the text cannot be encoded: {error}") from error


async def prompt_tokens(request: GenerateRequest, tokenizer: ChatTokenizer, *, converses: bool) -> list[int]:
    """The prompt of a request: the whole conversation where the model holds one, else the question alone.

    Raises:
        EngineRefused: it cannot be encoded, or a tool must be called.
    """
    if request.tool_choice not in OPTIONAL:
        raise EngineRefused("this model calls no tools, and a tool must be called")
    if not request.turns or not converses:
        return await encoded(request.question, tokenizer.encode_prompt)
    messages = messages_of(request.turns, takes_instructions=tokenizer.takes_instructions)
    whole = "\n".join(message["content"] for message in messages)
    return await encoded(whole, lambda _: tokenizer.encode_messages(messages))


def messages_of(turns: Sequence[Turn], *, takes_instructions: bool) -> list[Message]:
    """Turns of one speaker joined; instructions first, in the user's turn where they have no place of their own."""
    told = [turn.content for turn in turns if turn.role is Role.SYSTEM]
    first = "system" if takes_instructions else "user"
    spoken = [(first, text) for text in told]
    spoken += [(_speaker(turn), _words(turn)) for turn in turns if turn.role is not Role.SYSTEM]
    messages: list[Message] = []
    for role, text in spoken:
        if messages and messages[-1]["role"] == role:
            messages[-1] = {"role": role, "content": f"{messages[-1]['content']}\n\n{text}"}
        else:
            messages.append({"role": role, "content": text})
    return messages


def _speaker(turn: Turn) -> str:
    return "assistant" if turn.role is Role.ASSISTANT else "user"


def _words(turn: Turn) -> str:
    if turn.role is Role.TOOL:
        return f"The tool gave: {turn.content}"
    called = [f"I call the tool {call.name} with {call.arguments}" for call in turn.tool_calls]
    return "\n".join([*([turn.content] if turn.content or not called else ()), *called])


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
