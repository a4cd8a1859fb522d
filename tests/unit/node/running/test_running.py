"""What a node does around its life, in this process: it clears up after killed ones, and keeps what it is told to."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from waggle.mesh.libp2p.p2pd.scratch import LOCK, PREFIX
from waggle.node.config.settings import LOOPBACK, Settings
from waggle.node.home.home import NodeHome
from waggle.node.running.running import Ready, run_node

pytestmark = pytest.mark.timeout(240)

UP_SECONDS = 90.0


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a short name that stands for the one of temporary files."""
    with tempfile.TemporaryDirectory(prefix="wr", dir="/tmp", ignore_cleanup_errors=True) as name:
        monkeypatch.setattr(tempfile, "tempdir", name)
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        yield Path(name)


async def live(settings: Settings) -> Ready:
    """Run a node until it is up, and end it."""
    stop, told = asyncio.Event(), list[Ready]()

    def ready(news: Ready) -> None:
        told.append(news)
        stop.set()

    async with asyncio.timeout(UP_SECONDS):
        await run_node(settings, (), {}, None, stop=stop, ready=ready)
    return told[0]


def left_by_a_killed_command(folder: Path) -> Path:
    """A folder whose owner is dead: nobody holds its lock."""
    left = folder / f"{PREFIX}dead"
    left.mkdir(mode=0o700)
    (left / LOCK).touch(mode=0o600)
    return left


async def test_a_node_sweeps_what_killed_commands_left(short: Path) -> None:
    left = left_by_a_killed_command(short)
    await live(Settings(home=short / "home", multicast=False, listen=LOOPBACK))
    assert not left.exists()


@pytest.mark.parametrize("remember", [True, False])
async def test_ports_are_kept_where_the_node_chose_them_and_may(short: Path, remember: bool) -> None:
    settings = Settings(home=short / "home", multicast=False, remember=remember)
    ready = await live(settings)
    last = NodeHome(settings.home, settings.name).last
    assert last.exists() is remember
    again = await live(settings)
    assert (set(again.info.addresses) == set(ready.info.addresses)) is remember


async def test_ports_that_were_given_are_not_kept(short: Path) -> None:
    settings = Settings(home=short / "home", multicast=False, listen=LOOPBACK)
    await live(settings)
    assert not NodeHome(settings.home, settings.name).last.exists()
