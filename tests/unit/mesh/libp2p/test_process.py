"""What the transport's processes load and leave behind."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from waggle.mesh.libp2p.settings import Settings
from waggle.mesh.libp2p.transport import start_libp2p

SCRIPT = """
import asyncio, sys
from pathlib import Path
from waggle.mesh.libp2p.transport import Settings, start_libp2p

async def main():
    folder = Path(sys.argv[1])
    node = await start_libp2p(Settings(key_path=folder / "key", run_dir=folder / "r"))
    print(node.daemon_pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.timeout(240)
def test_a_killed_node_takes_its_daemon_with_it_and_the_next_one_sweeps(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SCRIPT, tmp_path], stdout=subprocess.PIPE) as node:
        assert node.stdout is not None
        daemon = int(node.stdout.readline())
        node.kill()
    asyncio.run(gone(daemon))
    assert list((tmp_path / "r").iterdir()) != []
    asyncio.run(start_and_close(tmp_path))
    assert list((tmp_path / "r").iterdir()) == []


async def gone(pid: int) -> None:
    """Until a process has ended (a zombie has)."""
    async with asyncio.timeout(60):
        while is_running(pid):  # noqa: ASYNC110 - it is not our child
            await asyncio.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def start_and_close(folder: Path) -> None:
    await (await start_libp2p(Settings(key_path=folder / "key", run_dir=folder / "r"))).close()


def test_importing_the_transport_loads_neither_hivemind_nor_torch() -> None:
    code = (
        "import sys, waggle.mesh.libp2p.transport; print({'torch', 'hivemind', 'google.protobuf'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"
