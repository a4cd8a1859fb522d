"""Questions whose right answer is known, and a bounded crowd of calls over them: what measuring needs."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from msgspec import Struct

Item = TypeVar("Item")
Result = TypeVar("Result")

AT_ONCE = 64  # calls under way; enough to keep a batched engine full


class KnownQuestion(Struct, frozen=True, kw_only=True):
    """A question of a kind, with one right answer in words and one plausible wrong one."""

    kind: str
    text: str
    answer: str
    wrong: str


IsRight = Callable[[KnownQuestion, str], bool]
Progress = Callable[[str, int, int], None]  # what is being done, how many are done, of how many


async def each(
    items: Iterable[Item],
    call: Callable[[Item], Awaitable[Result]],
    tell: Callable[[int], None],
    at_once: int = AT_ONCE,
) -> list[Result]:
    """`call` every item, at most `at_once` at a time; results in order. `tell` hears how many are done."""
    gate = asyncio.Semaphore(at_once)
    done = 0

    async def one(item: Item) -> Result:
        nonlocal done
        async with gate:
            result = await call(item)
        done += 1
        tell(done)
        return result

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(item)) for item in items]
    return [task.result() for task in tasks]
