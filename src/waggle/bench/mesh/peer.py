"""One process of the mesh bench: the server or the client of one transport. `python -m waggle.bench.mesh.peer`.

Arguments: the subject's module, then the server's address for a client. Everything is timed in the client.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from time import perf_counter
from typing import cast

import msgspec
import numpy as np

from waggle.bench.mesh.values import (
    FRAME_BYTES,
    IN_FLIGHT,
    MESSAGE_BYTES,
    PULL_FRAMES,
    BlockingClient,
    Client,
    Figure,
    Order,
    Serving,
    Subject,
)
from waggle.core.errors import RemoteProtocolError

MESSAGE = bytes(range(MESSAGE_BYTES))


def main(module: str, address: str | None) -> None:
    """Be the server, or with an address the client, until standard input ends."""
    subject = cast("Subject", import_module(module))
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = getattr(subject, "loop_factory", None)
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_serve(subject) if address is None else _measure_all(subject, address))


async def _serve(subject: Subject) -> None:
    async with subject.serving() as address:
        _say(Serving(address))
        await asyncio.to_thread(sys.stdin.read)


async def _measure_all(subject: Subject, address: str) -> None:
    async with subject.connected(address) as client:
        _say(Serving(address))
        while line := await asyncio.to_thread(sys.stdin.readline):
            _say(await measure(client, msgspec.json.decode(line, type=Order)))


def _say(said: Serving | Figure) -> None:
    print(msgspec.json.encode(said).decode(), flush=True)


async def measure(client: Client, order: Order) -> Figure:
    """Carry out one order. Raises RemoteProtocolError where a reply is not what it has to be."""
    match order.measure:
        case "unary" if isinstance(client, BlockingClient):
            return _latency(await asyncio.to_thread(_times_blocking, client, order.seconds))
        case "unary":
            return _latency(await _times(client.call, order.seconds))
        case "stream":
            return _latency(await _times(client.ping, order.seconds))
        case "calls" if isinstance(client, BlockingClient):
            return await asyncio.to_thread(_call_rate_blocking, client, order.seconds)
        case "calls":
            return await _call_rate(client, order.seconds)
        case "bytes":
            return await _byte_rate(client, order.seconds)


async def _times(ask: Callable[[bytes], Awaitable[bytes]], seconds: float) -> list[float]:
    """The seconds that each of the questions took, one after the other."""
    times, end = [], perf_counter() + seconds
    while (began := perf_counter()) < end:
        _check(await ask(MESSAGE))
        times.append(perf_counter() - began)
    return times


def _times_blocking(client: BlockingClient, seconds: float) -> list[float]:
    times, end = [], perf_counter() + seconds
    while (began := perf_counter()) < end:
        _check(client.call_and_wait(MESSAGE))
        times.append(perf_counter() - began)
    return times


async def _call_rate(client: Client, seconds: float) -> Figure:
    began = perf_counter()
    counts = await asyncio.gather(*(_times(client.call, seconds) for _ in range(IN_FLIGHT)))
    return Figure(sum(map(len, counts)) / (perf_counter() - began))


def _call_rate_blocking(client: BlockingClient, seconds: float) -> Figure:
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        began = perf_counter()
        counts = list(pool.map(lambda _: len(_times_blocking(client, seconds)), range(IN_FLIGHT)))
        return Figure(sum(counts) / (perf_counter() - began))


async def _byte_rate(client: Client, seconds: float) -> Figure:
    received, began = 0, perf_counter()
    while perf_counter() < began + seconds:
        came = await client.pull(PULL_FRAMES)
        if came != PULL_FRAMES * FRAME_BYTES:
            raise RemoteProtocolError(f"{came} bytes came instead of {PULL_FRAMES * FRAME_BYTES}")
        received += came
    return Figure(received / 1e6 / (perf_counter() - began))


def _latency(seconds: list[float]) -> Figure:
    median, p99 = (1000 * np.percentile(seconds, [50, 99])).tolist()
    return Figure(median, p99)


def _check(reply: bytes) -> None:
    if reply != MESSAGE:
        raise RemoteProtocolError(f"the reply is not what was sent: {len(reply)} bytes")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
