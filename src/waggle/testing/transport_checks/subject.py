"""What the checks on transports share: the three nodes, handlers to look through, assertions with a bound.

Times are the loop's, virtual or real, and generous: a check fails for what never happens, not for what is slow.
"""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TypeVar

from waggle.core.errors import PeerUnreachable
from waggle.core.ids import NodeId
from waggle.mesh.transport import Stream, Transport

Trio = tuple[Transport, Transport, Transport]
"""Three nodes that have addresses and may or may not be connected to each other."""

SETTLE_S = 30.0
"""How soon what one side does must have its effect at the other, on a busy machine too."""

LONG_S = 300.0
"""What a call may take that is to end for another reason."""

DIAL_S = 60.0
"""How soon dialling somebody who is gone must fail; QUIC tries for 5 s on an idle machine."""

POLL_S = 0.01
SECRET = "the path /home/ann/key.pem"
"""What the failing handlers say; nobody else may learn it."""

Failure = TypeVar("Failure", bound=Exception)

_numbers = count()


def fresh_protocol() -> str:
    """A protocol that nobody serves yet, so that checks can share nodes."""
    return f"/waggle/check/{next(_numbers)}"


async def met(dialler: Transport, listener: Transport) -> NodeId:
    """Connect one node to another; gives the other's id."""
    return await dialler.connect(await listener.addresses())


async def echo(_: NodeId, request: bytes) -> bytes:
    """Reply with the request."""
    return request


async def echo_frames(stream: Stream) -> None:
    """Send every frame back until the other side is done."""
    while (frame := await stream.receive()) is not None:
        await stream.send(frame)


async def raises(kind: type[Failure], work: Awaitable[object], what: str, *, within: float | None = None) -> Failure:
    """The error of the given kind that the work ends with, at most `within` seconds from now."""
    try:
        async with asyncio.timeout(within):
            outcome = await work
    except kind as error:
        return error
    except TimeoutError:
        raise AssertionError(f"{what}: nothing within {within} s instead of {kind.__name__}") from None
    except Exception as error:
        raise AssertionError(f"{what}: {error!r} instead of {kind.__name__}") from error
    raise AssertionError(f"{what}: {str(outcome)[:60]} instead of {kind.__name__}")


async def eventually(fact: Callable[[], bool], what: str) -> None:
    """Wait until something is so, SETTLE_S at most."""
    deadline = asyncio.get_running_loop().time() + SETTLE_S
    while not fact():
        assert asyncio.get_running_loop().time() < deadline, f"after {SETTLE_S:g} s still not so: {what}"
        await asyncio.sleep(POLL_S)


async def soon(work: Awaitable[object], what: str) -> object:
    """What the work gives, within SETTLE_S."""
    try:
        async with asyncio.timeout(SETTLE_S):
            return await work
    except TimeoutError:
        raise AssertionError(f"not over after {SETTLE_S:g} s: {what}") from None


def keeps_secret(error: BaseException) -> bool:
    """Whether nothing of the handler's words is in an error or in what led to it."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    return all(SECRET not in repr(one) and SECRET not in str(one) for one in chain)


class Gate:
    """A handler that works until it is let go; counts what goes on inside."""

    def __init__(self) -> None:
        """Closed."""
        self.running = 0
        self.cancelled = 0
        self.opened = asyncio.Event()

    async def answer(self, _: NodeId, request: bytes) -> bytes:
        """As the handler of calls."""
        await self._work()
        return request

    async def attend(self, stream: Stream) -> None:
        """As the handler of streams: over when the gate opens, or when the other side is done."""
        self.running += 1
        try:
            while await stream.receive() is not None and not self.opened.is_set():
                pass
        except PeerUnreachable:
            pass
        finally:
            self.running -= 1

    async def _work(self) -> None:
        self.running += 1
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1


class Kept:
    """A handler of streams that keeps the first stream for the check to use, until it is let go."""

    def __init__(self) -> None:
        """Nobody has come yet."""
        self.stream: asyncio.Future[Stream] = asyncio.get_running_loop().create_future()
        self.let_go = asyncio.Event()

    async def attend(self, stream: Stream) -> None:
        """As the handler of streams."""
        self.stream.set_result(stream)
        await self.let_go.wait()


async def stream_pair(opener: Transport, server: Transport) -> tuple[Stream, Stream, Kept]:
    """A new stream seen from both of its sides, and the handler that keeps it."""
    kept, protocol = Kept(), fresh_protocol()
    await server.serve_streams(protocol, kept.attend)
    near = await opener.open(await met(opener, server), protocol)
    async with asyncio.timeout(SETTLE_S):
        return near, await kept.stream, kept
