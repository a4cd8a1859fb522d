"""A node's process: why it ended is told of this run and no other, also where nothing can be written."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from waggle.core.errors import EngineUnavailable, UsageError
from waggle.node.config.settings import Settings
from waggle.node.home.home import NodeHome
from waggle.node.running.child import Child
from waggle.node.running.fleet import Fleet

BUSY_SECONDS = 30.0


@asynccontextmanager
async def running(home: Path, script: str) -> AsyncIterator[Child]:
    """A child that runs a script in place of a node."""
    child = Child(Settings(home=home, name="bee"), command=(sys.executable, "-c", f"import sys, time, os\n{script}"))
    await child.start(())
    try:
        yield child
    finally:
        await child.stop()


async def test_its_last_words_are_those_of_this_run(tmp_path: Path) -> None:
    home = NodeHome(tmp_path, "bee")
    home.folder.mkdir(parents=True)
    home.log.write_text("waggle: a fault of last week\n")
    async with running(tmp_path, "sys.exit(3)") as child:
        with pytest.raises(EngineUnavailable, match=r"bee did not start: ended with status 3: it said nothing$"):
            await child.until_up()
    async with running(tmp_path, "print('first\\nwaggle: no such model', file=sys.stderr); sys.exit(2)") as child:
        with pytest.raises(EngineUnavailable, match=r"ended with status 2: no such model$"):
            await child.until_up()
    assert home.log.read_text() == "waggle: a fault of last week\nfirst\nwaggle: no such model\n"


async def test_its_last_words_are_known_where_they_cannot_be_written(tmp_path: Path) -> None:
    NodeHome(tmp_path, "bee").log.mkdir(parents=True)
    async with running(tmp_path, "sys.exit('the disk is full')") as child:
        with pytest.raises(EngineUnavailable, match="ended with status 1: the disk is full"):
            await child.until_up()


async def test_a_flood_of_words_is_bounded_and_stops_nobody(tmp_path: Path) -> None:
    async with running(tmp_path, "sys.stderr.write('x' * 5_000_000); sys.exit(1)") as child:
        with pytest.raises(EngineUnavailable) as told:
            await child.until_up()
    assert "status 1: xxx" in str(told.value)
    assert len(str(told.value)) < 5_000


async def test_a_signal_is_named_and_no_word_is_blamed(tmp_path: Path) -> None:
    async with running(tmp_path, "sys.stderr.write('all is well'); os.kill(os.getpid(), 9)") as child:
        with pytest.raises(EngineUnavailable, match=r"killed \(signal 9\)$"):
            await child.until_up()


async def test_one_that_is_not_up_yet_is_ended_at_once(tmp_path: Path) -> None:
    async with running(
        tmp_path, f"print(end='begun', file=sys.stderr, flush=True); time.sleep({BUSY_SECONDS})"
    ) as child:
        log = NodeHome(tmp_path, "bee").log
        async with asyncio.timeout(BUSY_SECONDS):
            while not log.exists():  # noqa: ASYNC110 - a file does not tell
                await asyncio.sleep(0.02)
        began = time.monotonic()
        await child.stop()
        assert time.monotonic() - began < 5.0
        assert child.fault == f"killed (signal {signal.SIGTERM.value})"


def test_a_fleet_that_runs_or_has_no_place_is_refused_before_it_starts(tmp_path: Path) -> None:
    fleet = Fleet([Settings(home=tmp_path, name="up-bee"), Settings(home=tmp_path, name="up-wasp")])
    fleet.check()
    fleet.check()
    with NodeHome(tmp_path, "up-wasp").lock(), pytest.raises(UsageError, match="waggle up runs here already"):
        fleet.check()
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UsageError, match="cannot make"):
        Fleet([Settings(home=file, name="up-bee")]).check()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_is_read_only_is_refused_before_it_starts(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UsageError, match="cannot make"):
            Fleet([Settings(home=tmp_path / "home", name="up-bee")]).check()
    finally:
        tmp_path.chmod(0o700)
