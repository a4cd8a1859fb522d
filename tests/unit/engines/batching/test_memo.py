"""Nothing is computed twice, by whoever asks; failures and cancellations leave nothing behind."""

import asyncio

import pytest

from waggle.engines.batching.memo import Memo


class Work:
    """Counts how often it is done; waits until it is let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.go = asyncio.Event()

    async def __call__(self) -> str:
        self.begun += 1
        await self.go.wait()
        return f"result {self.begun}"


async def test_those_who_ask_at_once_share_one_computation() -> None:
    memo, work = Memo[str, str](9), Work()
    tasks = [asyncio.create_task(memo.get("key", work)) for _ in range(3)]
    await asyncio.sleep(0)
    work.go.set()
    assert await asyncio.gather(*tasks) == ["result 1"] * 3
    assert await memo.get("key", work) == "result 1"


async def test_the_next_in_line_computes_when_the_first_is_cancelled() -> None:
    memo, work = Memo[str, str](9), Work()
    first, second = (asyncio.create_task(memo.get("key", work)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    work.go.set()
    assert await second == "result 2"
    assert first.cancelled()


async def test_a_failure_is_not_remembered() -> None:
    memo = Memo[str, str](9)

    async def fail() -> str:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await memo.get("key", fail)
    work = Work()
    work.go.set()
    assert await memo.get("key", work) == "result 1"


async def test_the_longest_unused_is_forgotten() -> None:
    memo, work = Memo[str, str](2), Work()
    work.go.set()
    for key in ("a", "b", "a", "c"):
        await memo.get(key, work)
    assert [await memo.get(key, work) for key in ("a", "c", "b")] == ["result 1", "result 3", "result 4"]
