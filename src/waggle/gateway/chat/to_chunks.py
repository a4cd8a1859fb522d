"""The pieces of a streamed response in OpenAI's shapes, for chats and for legacy completions: pure."""

from collections.abc import Sequence
from typing import Protocol

from waggle.gateway.chat.to_openai import (
    FINGERPRINT,
    Answer,
    Head,
    JsonObject,
    Written,
    chat_logprobs,
    text_logprobs,
    tool_call,
)


class Chunks(Protocol):
    """How the choices of one kind of stream look. `index` is the number of the choice."""

    prefix: str
    kind: str

    def opening(self, index: int) -> JsonObject | None:
        """What is said before there is any text; None where nothing can be."""
        ...

    def text(self, index: int, text: str, written: Sequence[Written], offset: int) -> JsonObject:
        """A piece of text that begins after `offset` characters; `written` are tokens with log-probabilities."""
        ...

    def closing(self, index: int, answer: Answer) -> JsonObject:
        """The end of a choice, with the calls of tools that it makes."""
        ...


class ChatChunks:
    """Chunks of /v1/chat/completions."""

    prefix = "chatcmpl-"
    kind = "chat.completion.chunk"

    def opening(self, index: int) -> JsonObject | None:
        """The role."""
        return _chat(index, {"role": "assistant", "content": "", "refusal": None})

    def text(self, index: int, text: str, written: Sequence[Written], offset: int) -> JsonObject:
        """A delta of the content."""
        return _chat(index, {"content": text}) | {"logprobs": chat_logprobs(written) if written else None}

    def closing(self, index: int, answer: Answer) -> JsonObject:
        """All calls of tools at once, and why the choice ended."""
        calls = [{"index": number, **tool_call(call)} for number, call in enumerate(answer.tool_calls)]
        return _chat(index, {"tool_calls": calls} if calls else {}) | {"finish_reason": answer.finish}


class TextChunks:
    """Chunks of /v1/completions."""

    prefix = "cmpl-"
    kind = "text_completion"

    def opening(self, index: int) -> JsonObject | None:
        """Nothing: these have no role."""
        return None

    def text(self, index: int, text: str, written: Sequence[Written], offset: int) -> JsonObject:
        """A piece of the text."""
        logprobs = text_logprobs(written, offset) if written else None
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": None}

    def closing(self, index: int, answer: Answer) -> JsonObject:
        """Why the choice ended."""
        return {"index": index, "text": "", "logprobs": None, "finish_reason": answer.finish}


def chunk(shape: Chunks, head: Head, choices: Sequence[JsonObject]) -> JsonObject:
    """One chunk; it may have no choices."""
    return {
        "id": shape.prefix + head.request,
        "object": shape.kind,
        "created": head.created,
        "model": head.model,
        "system_fingerprint": FINGERPRINT,
        "choices": choices,
    }


def _chat(index: int, delta: JsonObject) -> JsonObject:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
