"""What peers ask of us: their calls and streams, each held to the peer's limits, then handed to its handler.

A caller learns a `Refusal` code and nothing else: what a handler raises goes to our own log. A call that its caller
gives up cancels the handler. A stream begins with one frame from us, the code; after any but NONE it ends.
"""

import asyncio
import logging
from contextlib import ExitStack
from functools import partial
from typing import TypeVar

from waggle.core.errors import LocalProtocolError, MeshError, PeerBusy, RemoteProtocolError
from waggle.core.ids import NodeId
from waggle.mesh.libp2p.daemon import Daemon, peer_text
from waggle.mesh.libp2p.p2pd import wire
from waggle.mesh.libp2p.stream import FrameStream
from waggle.mesh.limits import MAX_CALL_BYTES
from waggle.mesh.quotas import PeerQuotas
from waggle.mesh.transport import CallHandler, Refusal, StreamHandler

HEAD_SECONDS = 5.0
"""How long the daemon may take to say whose stream it is."""

Handler = TypeVar("Handler", CallHandler, StreamHandler)

LOGGER = logging.getLogger(__name__)
LOGGER.addHandler(logging.NullHandler())


def call_name(protocol: str) -> str:
    """The protocol's name on the network; calls and streams of one name do not meet."""
    return f"{protocol}/call"


def stream_name(protocol: str) -> str:
    """The protocol's name on the network."""
    return f"{protocol}/stream"


class Serving:
    """The handlers and the work in progress for peers."""

    def __init__(self, quotas: PeerQuotas) -> None:
        """Nothing is served yet. `quotas` counts what each peer uses."""
        self._quotas = quotas
        self._call_handlers: dict[str, CallHandler] = {}
        self._stream_handlers: dict[str, StreamHandler] = {}
        self._calls: dict[bytes, asyncio.Task[None]] = {}
        self._streams: set[asyncio.Task[None]] = set()

    @property
    def calls_in_progress(self) -> int:
        """How many calls of peers are being worked on."""
        return len(self._calls)

    def add_calls(self, protocol: str, handler: CallHandler) -> None:
        """Raises LocalProtocolError for a second handler of the protocol."""
        _add(self._call_handlers, call_name(protocol), handler)

    def add_streams(self, protocol: str, handler: StreamHandler) -> None:
        """Raises LocalProtocolError for a second handler of the protocol."""
        _add(self._stream_handlers, stream_name(protocol), handler)

    async def register(self, daemon: Daemon) -> None:
        """Tell a new daemon everything that is served."""
        for name in list(self._call_handlers):
            await daemon.take_calls(name)
        for name in list(self._stream_handlers):
            await daemon.take_streams(name)

    async def stop(self) -> None:
        """Cancel all work for peers and wait until it has ended."""
        tasks = [*self._calls.values(), *self._streams]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- calls ----------------------------------------------------------------------------------------------------

    def on_event(self, daemon: Daemon, event: wire.Asked | wire.Cancelled) -> None:
        """A peer calls, or gives up its call."""
        if isinstance(event, wire.Cancelled):
            task = self._calls.get(event.call)
            if task is not None:
                task.cancel()
        elif event.call not in self._calls:  # a peer that uses an id twice hears nothing of the second call
            self._take_call(daemon, event)

    def _take_call(self, daemon: Daemon, asked: wire.Asked) -> None:
        held = ExitStack()
        try:
            handler = self._call_handlers.get(asked.protocol)
            held.enter_context(self._quotas.call(peer_text(asked.peer), len(asked.data)))
        except PeerBusy:
            daemon.calls.reply(asked.call, bytes([Refusal.BUSY]))
            return
        task = asyncio.create_task(self._answer(daemon, asked, handler, held))
        self._calls[asked.call] = task
        held.callback(self._calls.pop, asked.call)
        task.add_done_callback(lambda _: held.close())  # runs even where the task is cancelled before it begins

    async def _answer(self, daemon: Daemon, asked: wire.Asked, handler: CallHandler | None, held: ExitStack) -> None:
        """Answer, and give the peer its place back first: it may call again the moment it has the reply."""
        refusal, reply = await self._outcome(asked, handler)
        await daemon.calls.drained()
        held.close()
        daemon.calls.reply(asked.call, bytes([refusal]) + reply)

    async def _outcome(self, asked: wire.Asked, handler: CallHandler | None) -> tuple[Refusal, bytes]:
        if handler is None:
            return Refusal.UNKNOWN, b""
        if len(asked.data) > MAX_CALL_BYTES:
            return Refusal.MALFORMED, b""
        try:
            reply = await handler(peer_text(asked.peer), asked.data)
        except PeerBusy:
            return Refusal.BUSY, b""
        except RemoteProtocolError:
            return Refusal.MALFORMED, b""
        except Exception:
            LOGGER.warning("the handler of %s failed", asked.protocol, exc_info=True)
            return Refusal.FAILED, b""
        if len(reply) > MAX_CALL_BYTES:
            LOGGER.warning("the handler of %s replied with %d bytes", asked.protocol, len(reply))
            return Refusal.FAILED, b""
        return Refusal.NONE, reply

    # --- streams --------------------------------------------------------------------------------------------------

    def on_stream(self, stream: FrameStream) -> None:
        """A peer has opened a stream."""
        task = asyncio.create_task(self._serve_stream(stream))
        self._streams.add(task)
        task.add_done_callback(self._streams.discard)

    async def _serve_stream(self, stream: FrameStream) -> None:
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                opened = wire.read_stream_opened(await stream.head)
        except (OSError, ValueError):  # a TimeoutError is an OSError
            stream.abort()
            return
        peer = peer_text(opened.peer)
        handler = self._stream_handlers.get(opened.protocol)
        try:
            with self._quotas.stream(peer):
                if handler is None:
                    await _refuse(stream, peer, Refusal.UNKNOWN)
                else:
                    charge = partial(self._quotas.spend, peer)
                    stream.begin(peer, greeting=bytes([Refusal.NONE]), charge=charge)
                    await _handle(stream, opened.protocol, handler)
        except PeerBusy:
            await _refuse(stream, peer, Refusal.BUSY)


async def _handle(stream: FrameStream, protocol: str, handler: StreamHandler) -> None:
    """Run the handler, then close the stream; nothing but a cancellation gets out."""
    try:
        await handler(stream)
    except MeshError as error:
        LOGGER.debug("a stream of %s ended: %s", protocol, error)
    except Exception:
        LOGGER.warning("the handler of %s failed", protocol, exc_info=True)
    finally:
        await stream.close()
    await stream.wait_lost()


async def _refuse(stream: FrameStream, peer: NodeId, refusal: Refusal) -> None:
    stream.begin(peer, greeting=bytes([refusal]))
    await stream.close()
    await stream.wait_lost()


def _add(handlers: dict[str, Handler], name: str, handler: Handler) -> None:
    if name in handlers:
        raise LocalProtocolError(f"{name} is served already")
    handlers[name] = handler
