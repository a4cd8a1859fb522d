"""Finished answers in OpenAI's shapes, whole and in pieces, for chats and for legacy completions.

Pure functions that make dictionaries fit for JSON. What a model wrote is only ever a string inside the JSON.
"""

from collections.abc import Sequence
from typing import Protocol

from waggle.core.chat_values import ToolCall
from waggle.gateway.jobs.results import usage_of
from waggle.gateway.jobs.values import Answer, Head, JsonObject, Written

FINGERPRINT = "waggle"


def chat_completion(head: Head, answers: Sequence[Answer]) -> JsonObject:
    """The body of a chat's response."""
    choices = [_with_waggle(_chat_choice(index, answer), answer, answers) for index, answer in enumerate(answers)]
    return _whole("chatcmpl-", "chat.completion", head, choices, answers)


def text_completion(head: Head, answers: Sequence[Answer]) -> JsonObject:
    """The body of a legacy completion's response."""
    choices = [_with_waggle(_text_choice(index, answer), answer, answers) for index, answer in enumerate(answers)]
    return _whole("cmpl-", "text_completion", head, choices, answers)


def message_of(answer: Answer) -> JsonObject:
    """The assistant's message."""
    text = None if answer.tool_calls and not answer.text else answer.text
    message: JsonObject = {"role": "assistant", "content": text, "refusal": None}
    if answer.tool_calls:
        message["tool_calls"] = [tool_call(call) for call in answer.tool_calls]
    return message


def chat_logprobs(written: Sequence[Written]) -> JsonObject:
    """Log-probabilities as a chat has them: no alternatives are known."""
    return {"content": [_token(token) for token in written], "refusal": None}


def text_logprobs(written: Sequence[Written], offset: int = 0) -> JsonObject:
    """Log-probabilities as a legacy completion has them; `offset` is how much text came before."""
    offsets = []
    for token in written:
        offsets.append(offset)
        offset += len(token.text)
    return {
        "tokens": [token.text for token in written],
        "token_logprobs": [token.logprob for token in written],
        "top_logprobs": None,
        "text_offset": offsets,
    }


def _whole(prefix: str, kind: str, head: Head, choices: Sequence[JsonObject], answers: Sequence[Answer]) -> JsonObject:
    return {
        "id": prefix + head.request,
        "object": kind,
        "created": head.created,
        "model": head.model,
        "system_fingerprint": FINGERPRINT,
        "choices": choices,
        "usage": usage_of(answers),
        "waggle": answers[0].waggle,
    }


def _with_waggle(choice: JsonObject, answer: Answer, answers: Sequence[Answer]) -> JsonObject:
    """Where there are several choices, each says of itself what the response says of the first."""
    return choice if len(answers) == 1 else choice | {"waggle": answer.waggle}


def _chat_choice(index: int, answer: Answer) -> JsonObject:
    logprobs = None if answer.logprobs is None else chat_logprobs(answer.logprobs)
    return {"index": index, "message": message_of(answer), "logprobs": logprobs, "finish_reason": answer.finish}


def _text_choice(index: int, answer: Answer) -> JsonObject:
    logprobs = None if answer.logprobs is None else text_logprobs(answer.logprobs)
    return {"index": index, "text": answer.text, "logprobs": logprobs, "finish_reason": answer.finish}


def tool_call(call: ToolCall) -> JsonObject:
    """A call of a tool."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _token(token: Written) -> JsonObject:
    return {
        "token": token.text,
        "logprob": token.logprob,
        "bytes": list(token.text.encode(errors="replace")),
        "top_logprobs": [],
    }


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
