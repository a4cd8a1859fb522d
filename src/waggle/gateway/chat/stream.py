"""The answers of a request as a stream of OpenAI's chunks, for chats and legacy completions.

With the committee the role comes once somebody has proposed an answer, or after a moment, then comments with the
round's progress and, where wished, the best draft so far; then the winner's text. A model alone is passed on token by
token, with comments where it is silent for long. Several choices are written side by side.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass

from waggle.core.round_picture import RoundPicture
from waggle.gateway.chat.to_openai import Chunks, chunk
from waggle.gateway.jobs.answering import Answerer
from waggle.gateway.jobs.results import usage_of
from waggle.gateway.jobs.streaming import DONE, Write, comment, event
from waggle.gateway.jobs.values import Answer, ForModel, Head, Job, JsonObject, Task, Written
from waggle.gateway.jobs.wanted import Wanted
from waggle.gateway.jobs.watching import draft_of, overheard, progress_of, watched

PIECE = 256  # characters of a winner's text to a chunk
DRAFT = "waggle.draft"


@dataclass(frozen=True)
class Streaming:
    """How a request's answers are streamed."""

    answerer: Answerer
    head: Head
    shape: Chunks
    wanted: Wanted
    keep_alive_seconds: float
    usage: bool = False
    drafts: bool = False


async def stream_answers(streaming: Streaming, jobs: Sequence[Task], write: Write) -> None:
    """Write all choices, the usage where wished, and the end. Raises ApiError."""
    voices = [_Voice(streaming, number, write, alone=len(jobs) == 1) for number in range(len(jobs))]
    answers = await all_of([voice.speak(job) for voice, job in zip(voices, jobs, strict=True)])
    if streaming.usage:
        await write(event(chunk(streaming.shape, streaming.head, []) | {"usage": usage_of(answers)}))
    await write(DONE)


async def all_of(work: Sequence[Coroutine[object, object, Answer]]) -> list[Answer]:
    """The results of all; when one fails the others are stopped, and the first failure is raised."""
    if len(work) == 1:
        return [await work[0]]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as failed:
        raise _first(failed) from None
    return [task.result() for task in tasks]


def _first(failed: BaseExceptionGroup) -> BaseException:
    error = failed.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


class _Voice:
    """Writes one choice of a stream."""

    def __init__(self, streaming: Streaming, number: int, write: Write, *, alone: bool) -> None:
        self._streaming = streaming
        self._number = number
        self._write = write
        self._alone = alone
        self._opened = False
        self._said = 0
        self._drafted: str | None = None

    async def speak(self, job: Task) -> Answer:
        """Have the job done and write what comes of it."""
        streaming = self._streaming
        live = isinstance(job, ForModel) and streaming.wanted.form is None
        answer = await streaming.wanted.of(
            job, streaming.head.request, self._number, self._live if live else self._told
        )
        await self._open()
        if not live:
            for start in range(0, len(answer.text), PIECE):
                await self._say(answer.text[start : start + PIECE])
        closing = streaming.shape.closing(self._number, answer)
        await self._send(closing | ({} if self._alone else {"waggle": answer.waggle}), {"waggle": answer.waggle})
        return answer

    async def _told(self, job: Job, request: str) -> Answer:
        """The work on a text that can only be shown when it is whole."""

        async def tell(picture: RoundPicture | None) -> None:
            await self._open()
            await self._tell(picture)

        return await watched(self._streaming.answerer, job, request, self._streaming.keep_alive_seconds, tell)

    async def _live(self, job: Job, request: str) -> Answer:
        """The work of a model whose text is passed on as it is written."""

        async def heard(text: str, written: Sequence[Written]) -> None:
            await self._open()
            await self._say(text, written)

        streaming = self._streaming
        return await overheard(streaming.answerer, job, request, streaming.keep_alive_seconds, heard, self._tell)

    async def _open(self) -> None:
        if self._opened:
            return
        self._opened = True
        opening = self._streaming.shape.opening(self._number)
        await (self._write(comment("waiting")) if opening is None else self._send(opening))

    async def _say(self, text: str, written: Sequence[Written] = ()) -> None:
        await self._send(self._streaming.shape.text(self._number, text, written, self._said))
        self._said += len(text)

    async def _tell(self, picture: RoundPicture | None) -> None:
        await self._write(comment("waiting" if picture is None else progress_of(picture)))
        draft = draft_of(picture) if picture is not None and self._streaming.drafts else None
        if draft is not None and draft != self._drafted:
            self._drafted = draft
            told = {"draft": {"index": self._number, "text": draft}}
            await self._write(event(chunk(self._streaming.shape, self._streaming.head, []) | {"waggle": told}, DRAFT))

    async def _send(self, choice: JsonObject, extra: JsonObject | None = None) -> None:
        usage = {"usage": None} if self._streaming.usage else {}
        await self._write(event(chunk(self._streaming.shape, self._streaming.head, [choice]) | usage | (extra or {})))
