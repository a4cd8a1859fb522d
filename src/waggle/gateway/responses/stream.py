"""A response as a stream of OpenAI's typed events, numbered from 0.

The response is announced with the first sign of life; what fails before that is a plain error. With the committee,
comments then carry the round's progress and, where wished, the best draft so far comes as events of our own; the
winner's text follows in pieces. A model alone is passed on token by token, with comments where it is silent for long,
unless its answer has to be JSON: then nothing is given out before it fits. The end is one event that holds the whole
response, finished or failed; there is no [DONE] here.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from waggle.core.chat_values import ToolCall
from waggle.core.round_picture import RoundPicture
from waggle.gateway.errors import ApiError
from waggle.gateway.jobs.streaming import Write, comment, event, note_failure
from waggle.gateway.jobs.values import Answer, Head, JsonObject, Written
from waggle.gateway.jobs.watching import draft_of, progress_of
from waggle.gateway.responses import output as shapes
from waggle.gateway.responses.shapes import ResponsesRequest

PIECE = 256
DRAFT = "waggle.draft"


@dataclass(frozen=True)
class Told:
    """How whoever makes the answer tells of it: `piece` by piece of text, and `sign` by sign of life."""

    piece: Callable[[str, Sequence[Written]], Awaitable[None]]
    sign: Callable[[RoundPicture | None], Awaitable[None]]


class ResponseEvents:
    """Writes one response."""

    def __init__(self, body: ResponsesRequest, head: Head, write: Write, *, drafts: bool) -> None:
        """Nothing is written yet; `drafts` asks for the best draft so far."""
        self._body, self._head, self._write = body, head, write
        self._drafts, self._drafted = drafts, ""
        self._number = 0
        self._said: list[str] = []

    async def tell(self, make: Callable[[Told], Awaitable[Answer]]) -> None:
        """Write all events of the response that `make` makes; a failure of it is the last one.

        Raises:
            ApiError: `make` failed before anything was written.
        """
        try:
            answer = await make(Told(self.piece, self.sign))
        except ApiError as error:
            if not self._number:
                raise
            note_failure(error)
            await self._send("response.failed", {"response": shapes.failed(self._body, self._head, error)})
        else:
            await self._finish(answer)

    async def piece(self, text: str, written: Sequence[Written] = ()) -> None:
        """A piece of the message's text; the first one opens the message."""
        await self._announce()
        if not self._said:
            item = shapes.message_item(self._head, None, "in_progress")
            await self._send("response.output_item.added", {"output_index": 0, "item": item})
            await self._send("response.content_part.added", self._part() | {"part": shapes.text_part("")})
        self._said.append(text)
        await self._send("response.output_text.delta", self._part() | {"delta": text, "logprobs": []})

    async def sign(self, picture: RoundPicture | None) -> None:
        """A sign of life: how far the round is, and where wished a draft that is new."""
        await self._announce()
        await self._write(comment("waiting" if picture is None else progress_of(picture)))
        draft = draft_of(picture) if picture is not None and self._drafts else None
        if draft is not None and draft != self._drafted:
            self._drafted = draft
            await self._send(DRAFT, {"draft": {"index": 0, "text": draft}})

    async def _announce(self) -> None:
        """Say once that there will be a response."""
        if self._number:
            return
        started = shapes.begun(self._body, self._head)
        await self._send("response.created", {"response": started})
        await self._send("response.in_progress", {"response": started})

    async def _finish(self, answer: Answer) -> None:
        await self._announce()
        if not self._said:
            for start in range(0, len(answer.text), PIECE):
                await self.piece(answer.text[start : start + PIECE])
            if not answer.text and not answer.tool_calls:
                await self.piece("")
        answer = replace(answer, text="".join(self._said))
        await self._close_message(answer)
        for number, call in enumerate(answer.tool_calls):
            await self._call(number, call, number + bool(self._said))
        response = shapes.response_of(self._body, self._head, answer, time.time())
        await self._send(f"response.{response['status']}", {"response": response})

    async def _close_message(self, answer: Answer) -> None:
        if not self._said:
            return
        part = shapes.text_part(answer.text)
        item = shapes.message_item(self._head, answer.text, shapes.status_of(answer))
        await self._send("response.output_text.done", self._part() | {"text": answer.text, "logprobs": []})
        await self._send("response.content_part.done", self._part() | {"part": part})
        await self._send("response.output_item.done", {"output_index": 0, "item": item})

    async def _call(self, number: int, call: ToolCall, place: int) -> None:
        item = shapes.call_item(self._head, number, call)
        opened = shapes.call_item(self._head, number, call, arguments="")
        where: JsonObject = {"item_id": item["id"], "output_index": place}
        done = where | {"name": call.name, "arguments": call.arguments}
        await self._send("response.output_item.added", {"output_index": place, "item": opened})
        await self._send("response.function_call_arguments.delta", where | {"delta": call.arguments})
        await self._send("response.function_call_arguments.done", done)
        await self._send("response.output_item.done", {"output_index": place, "item": item})

    def _part(self) -> JsonObject:
        return {"item_id": shapes.message_id(self._head), "output_index": 0, "content_index": 0}

    async def _send(self, name: str, what: JsonObject) -> None:
        numbered = {"type": name, "sequence_number": self._number, **what}
        self._number += 1
        await self._write(event(numbered, name))
