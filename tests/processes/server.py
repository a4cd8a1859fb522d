"""An OpenAI-compatible server in a thread of its own, which can be told to keep those who ask waiting."""

import asyncio
import threading
from types import TracebackType
from typing import Self

from waggle.testing.openai_server import Fault, OpenAIServer, serve_openai

ANSWER = "7"
HELD = 64
CHAT = "/v1/chat/completions"
PATIENCE_SECONDS = 60.0


class HeldServer:
    """Answers at once until told to hold its answers back; used as a context."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._fake: OpenAIServer | None = None
        self._since = 0
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    async def _serve(self) -> None:
        async with serve_openai(lambda prompt: f"Answer: {ANSWER}") as self._fake:
            self._ready.set()
            await self._stop.wait()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(PATIENCE_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()
        self._loop.close()

    @property
    def _server(self) -> OpenAIServer:
        assert self._fake is not None
        return self._fake

    @property
    def url(self) -> str:
        """What an engine's name begins with."""
        return self._server.base_url

    def hold(self) -> None:
        """Whoever asks from now on waits for ever; whoever asked before does not."""
        self._since = len(self._server.asked)
        self._loop.call_soon_threadsafe(self._server.resumed.clear)
        self._server.faults.extend([Fault.HANG] * HELD)

    def release(self) -> None:
        """Whoever asks from now on is answered; those that wait go on waiting."""
        self._server.faults.clear()

    def answer(self) -> None:
        """Whoever waits is answered, and whoever asks from now on."""
        self.release()
        self._loop.call_soon_threadsafe(self._server.resumed.set)

    @property
    def waiting(self) -> bool:
        """Whether somebody who asked since `hold` waits for an answer."""
        return self._server.busy > 0 and self.chats > 0

    @property
    def chats(self) -> int:
        """How many have asked since `hold`, whether they wait or have left."""
        return sum(asked.path == CHAT for asked in self._server.asked[self._since :])
