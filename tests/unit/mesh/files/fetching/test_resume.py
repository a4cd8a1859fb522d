"""An interrupted fetch goes on where it was: after a cancellation or a kill at any moment, and on a real full disk."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.mesh.files.swarm import MIB, Swarm
from tests.virtual import in_virtual_time
from waggle.mesh.files.fetching.fetch import REQUESTS_PER_PEER, fetch
from waggle.mesh.files.store import FileStore

SIZE = 10 * MIB


async def fetch_and_cancel(swarm: Swarm, told: int) -> int:
    """Cancel a fetch when it has reported progress `told` times; gives the bytes that were verified by then."""
    count, kept = 0, 0

    def watch(size: int) -> None:
        nonlocal count, kept
        count, kept = count + 1, max(kept, size)
        if count == told:
            task.cancel()

    work = fetch(
        swarm.me, swarm.store, "thyme", swarm.ids,
        progress=lambda one: watch(one.done_bytes if one.phase == "fetching" else 0),
    )  # fmt: skip
    task = asyncio.ensure_future(work)
    with pytest.raises(asyncio.CancelledError):
        await task
    return kept


@pytest.mark.parametrize("told", [1, 2, 3, 4, 6, 9, 12, 16, 18, 20, 24])
@in_virtual_time
async def test_a_fetch_cancelled_at_any_stage_goes_on_where_it_was(tmp_path: Path, told: int) -> None:
    swarm = Swarm(tmp_path, SIZE)
    anna = await swarm.add("anna")
    kept = await fetch_and_cancel(swarm, told)
    assert list(swarm.store.models.iterdir()) == []
    await asyncio.sleep(10)  # what was on its way is over
    asked = swarm.servers[anna.node_id].served_bytes
    got = await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
    assert swarm.landed()
    assert got.fetched_bytes <= got.size - kept
    assert swarm.servers[anna.node_id].served_bytes - asked == got.fetched_bytes


@in_virtual_time
async def test_a_fetch_cancelled_again_and_again_arrives(tmp_path: Path) -> None:
    swarm = Swarm(tmp_path, SIZE)
    anna = await swarm.add("anna")
    cancelled = 0
    while True:
        try:
            async with asyncio.timeout(0.3):
                await fetch(swarm.me, swarm.store, "thyme", swarm.ids)
        except TimeoutError:
            cancelled += 1
            assert cancelled < 50
        else:
            break
    assert swarm.landed()
    assert cancelled > 1
    most_lost = cancelled * REQUESTS_PER_PEER * MIB
    assert swarm.servers[anna.node_id].served_bytes <= SIZE + most_lost + 10_000


CHILD = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.unit.mesh.files.swarm import Swarm
from waggle.mesh.files.fetching.fetch import fetch
from waggle.mesh.files.store import FileStore
from waggle.mesh.memory.wires import Conditions

async def main(root, store, phase, times):
    told = {}
    swarm = Swarm(root, conditions=Conditions(delay=0.001, bandwidth=15e6))
    anna = await swarm.add("anna")
    def say(one):
        print(one.phase, one.done_bytes, flush=True)
        told[one.phase] = told.get(one.phase, 0) + 1
        if told.get(phase) == times:
            os.kill(os.getpid(), signal.SIGKILL)
    got = await fetch(swarm.me, FileStore(store), "thyme", swarm.ids, progress=say)
    print("landed", got.fetched_bytes, flush=True)

asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
"""


def run_child(root: Path, store: Path, phase: str = "", times: int = 0) -> list[str]:
    """Run a fetch in a process that is killed when it has spoken `times` times of a phase; what it said."""
    command = [sys.executable, "-c", CHILD, str(root), str(store), phase, str(times)]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=100)
    assert ran.returncode == (-signal.SIGKILL if phase else 0)
    return ran.stdout.splitlines()


def fetched(said: list[str]) -> list[int]:
    return [int(line.split()[1]) for line in said if line.startswith("fetching")]


@pytest.mark.timeout(400)
def test_a_fetch_killed_at_any_moment_goes_on_where_it_was(tmp_path: Path) -> None:
    swarm = Swarm(tmp_path, SIZE)
    FileStore(tmp_path / "store-anna").share(swarm.model)
    kept = 0
    kills = [("finding", 1), ("fetching", 1), ("fetching", 4), ("checking", 2), ("fetching", 4), ("verifying", 3)]
    for phase, times in kills:
        said = run_child(tmp_path, tmp_path / "mine", phase, times)
        assert not said[-1].startswith("landed")
        assert not swarm.landed()
        done = fetched(said)
        assert min(done, default=kept) >= kept
        kept = max([kept, *done])
    assert kept == sum(path.stat().st_size for path in swarm.model.rglob("*") if path.is_file())
    assert run_child(tmp_path, tmp_path / "mine")[-1] == "landed 0"
    assert swarm.landed()


def may_mount() -> bool:
    """Whether this machine lets us have a small disk of our own."""
    try:
        tried = ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt"]
        return subprocess.run(tried, capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@pytest.mark.timeout(400)
def test_a_disk_that_is_really_full_is_told_in_words(tmp_path: Path) -> None:
    if not may_mount():
        pytest.skip("this kernel lets us mount no disk of our own")
    Swarm(tmp_path, SIZE)
    small = tmp_path / "small"
    small.mkdir()
    script = f'mount -t tmpfs -o size=4m none {small} && exec "$@"'
    code = "import waggle.mesh.files.fetching.fetch as module\nmodule.DISK_MARGIN_BYTES = -(1 << 30)\n" + CHILD
    command = [sys.executable, "-c", code, str(tmp_path), str(small / "mine"), "", "0"]
    ran = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", *command], capture_output=True, text=True, timeout=200
    )
    assert ran.returncode == 1
    assert "UsageError: the disk is full" in ran.stderr
