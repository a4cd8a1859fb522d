"""Lines of an input as they come, whatever it is, and an end at any time."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from waggle.cli.lines import Lines


async def all_of(lines: Lines) -> list[str | None]:
    found: list[str | None] = []
    while (line := await lines.next()) is not None:
        found.append(line)
    return found


async def test_a_pipe_gives_each_line_when_it_is_there() -> None:
    reading, writing = os.pipe()
    lines = Lines(reading, 100)
    os.write(writing, b"one\ntw")
    assert await lines.next() == "one"
    waiting = asyncio.create_task(lines.next())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    os.write(writing, b"o\n\nlast \xff")
    os.close(writing)
    assert await waiting == "two"
    assert await all_of(lines) == ["", "last \N{REPLACEMENT CHARACTER}"]
    assert await lines.next() is None
    os.close(reading)


@pytest.mark.parametrize(("content", "expected"), [(b"", []), (b"a\nb", ["a", "b"]), (b"\n\n", ["", ""])])
async def test_a_file_is_read_to_its_end(tmp_path: Path, content: bytes, expected: list[str]) -> None:
    path = tmp_path / "questions"
    path.write_bytes(content)
    with path.open("rb") as file:
        assert await all_of(Lines(file.fileno(), 100)) == expected


async def test_dev_null_ends_at_once() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    assert await Lines(nothing, 100).next() is None
    os.close(nothing)


async def test_a_line_without_end_is_cut_and_the_next_one_is_whole() -> None:
    reading, writing = os.pipe()
    lines = Lines(reading, 10)
    first = asyncio.create_task(lines.next())
    for _ in range(50):
        os.write(writing, b"x" * 1000)
        await asyncio.sleep(0)
    os.write(writing, b"\nnext\n")
    assert await first == "x" * 10
    assert await lines.next() == "next"
    os.close(reading)
    os.close(writing)


def test_nothing_waits_for_a_line_after_the_end() -> None:
    """A thread that reads would be waited for."""
    reading, writing = os.pipe()

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(Lines(reading, 10).next(), 0.05)

    began = time.monotonic()
    asyncio.run(give_up())
    assert time.monotonic() - began < 10.0
    assert os.get_blocking(reading)
    os.close(reading)
    os.close(writing)
