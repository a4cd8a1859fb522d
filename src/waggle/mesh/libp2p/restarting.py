"""Keeps a daemon running: where it dies, it is started again with the same key and ports, and told everything anew.

Meanwhile `current` fails at once. Restarts are tried for as long as the transport is open, RETRY_SECONDS apart at
most; what the daemon said is logged.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from waggle.core.errors import MeshError, PeerUnreachable, UsageError
from waggle.mesh.libp2p.daemon import Daemon
from waggle.mesh.libp2p.p2pd import wire
from waggle.mesh.libp2p.settings import Settings, with_ports
from waggle.mesh.libp2p.stream import FrameStream

FIRST_RETRY_SECONDS = 0.1
RETRY_SECONDS = 5.0
WATCH_SECONDS = 10.0
"""Between two questions to the daemon whether it still answers."""

MAX_MISSES = 2
"""Unanswered questions in a row, five seconds each, after which a daemon that is there is given up."""

START_ATTEMPTS = 3
"""A free port may be taken between the choice and its use."""

LOGGER = logging.getLogger(__name__)


class RestartingDaemon:
    """The daemon of today, and the task that replaces it."""

    def __init__(
        self,
        settings: Settings,
        *,
        on_event: Callable[[Daemon, wire.Asked | wire.Cancelled], None],
        on_stream: Callable[[FrameStream], None],
        on_start: Callable[[Daemon], Awaitable[None]],
        on_back: Callable[[], None],
    ) -> None:
        """Start nothing yet.

        Args:
            settings: as checked.
            on_event: told of peers' calls.
            on_stream: given peers' streams.
            on_start: prepares a new daemon before anybody uses it.
            on_back: told when a daemon has replaced one that died.
        """
        self._settings = settings
        self._on_event = on_event
        self._on_stream = on_stream
        self._on_start = on_start
        self._on_back = on_back
        self._listen: tuple[str, ...] = ()
        self._daemon: Daemon | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def current(self) -> Daemon:
        """The daemon. Raises PeerUnreachable while there is none."""
        if self._closed:
            raise PeerUnreachable("the transport is closed")
        if self._daemon is None or self._daemon.lost.is_set():
            raise PeerUnreachable("the libp2p daemon is being started again")
        return self._daemon

    @property
    def listen(self) -> tuple[str, ...]:
        """Where every daemon of ours listens, with its ports."""
        return self._listen

    async def start(self) -> None:
        """Run the first daemon. Raises PeerUnreachable where it does not start, UsageError for bad settings."""
        for attempts_left in reversed(range(START_ATTEMPTS)):
            self._listen = with_ports(self._settings.listen)
            try:
                self._daemon = await self._run()
                break
            except PeerUnreachable:
                if attempts_left == 0:
                    raise
        self._task = asyncio.create_task(self._keep())

    async def _run(self) -> Daemon:
        daemon = await Daemon.start(
            self._settings, self._listen, on_event=self._on_event, on_stream=self._on_stream
        )  # fmt: skip
        try:
            await self._on_start(daemon)
        except BaseException:
            await daemon.stop()
            raise
        return daemon

    async def _keep(self) -> None:
        while True:
            daemon = self._daemon
            assert daemon is not None
            await _until_lost(daemon)
            LOGGER.warning("the libp2p daemon is gone; starting it again")
            self._daemon = None
            await daemon.stop()
            self._daemon = await self._run_again()
            self._on_back()

    async def _run_again(self) -> Daemon:
        pause = FIRST_RETRY_SECONDS
        while True:
            try:
                return await self._run()
            except (MeshError, UsageError) as error:
                LOGGER.warning("the libp2p daemon does not start, next attempt in %g s: %s", pause, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, RETRY_SECONDS)

    async def close(self) -> None:
        """End the daemon for good. Twice is harmless."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        daemon, self._daemon = self._daemon, None
        if daemon is not None:
            await daemon.stop()


async def _until_lost(daemon: Daemon) -> None:
    """Wait until the daemon is gone, or there but without a sign of life."""
    misses = 0
    while misses < MAX_MISSES:
        with suppress(TimeoutError):
            async with asyncio.timeout(WATCH_SECONDS):
                await daemon.lost.wait()
                return
        try:
            await daemon.identify()
            misses = 0
        except MeshError:
            misses += 1
