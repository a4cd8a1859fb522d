"""A lab leaves nothing behind, not even where its maker dies, and touches nothing but its own."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from waggle.testing.netlab import AgentFailed, can_make_networks, namespaces, open_lab
from waggle.testing.netlab.orders import Addresses, Call, Start, Started

MAKER = """
import asyncio, sys
from waggle.testing.netlab import open_lab

async def main():
    async with open_lab(public=1, nats=()) as lab:
        print(lab.public[0].namespace, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(60)]


async def _names() -> set[str]:
    return {line.split()[0] for line in (await namespaces.run("ip", "netns", "list")).splitlines() if line}


@pytest.mark.usefixtures("networks")
async def test_a_lab_leaves_no_namespace_and_no_process_behind() -> None:
    async with open_lab(public=1) as lab:
        await lab.public[0].ask(Start(), Started)
        name = lab.public[0].namespace
        pids = (await namespaces.run("ip", "netns", "pids", name)).split()
        assert len(pids) == 2  # the agent and its daemon
        assert name in await _names()
    assert name not in await _names()
    assert [pid for pid in pids if _lives(int(pid))] == []


def _lives(pid: int) -> bool:
    """Whether the process can still do anything; one that waits to be buried cannot."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


@pytest.mark.usefixtures("networks")
async def test_the_lab_of_a_dead_process_is_swept_and_that_of_a_living_one_left_alone() -> None:
    makers = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", MAKER, stdout=asyncio.subprocess.PIPE)
        for _ in range(2)
    ]
    names = []
    try:
        for maker in makers:
            assert maker.stdout is not None
            names.append((await maker.stdout.readline()).decode().strip())
        os.kill(makers[0].pid, signal.SIGKILL)
        await makers[0].wait()
        assert set(names) <= await _names()
        await namespaces.sweep()
        assert names[0] not in await _names()
        assert names[1] in await _names()
    finally:
        for maker in makers:
            if maker.returncode is None:
                os.kill(maker.pid, signal.SIGKILL)
                await maker.wait()
        await namespaces.sweep()
    assert not set(names) & await _names()


@pytest.mark.usefixtures("networks")
async def test_what_an_agent_cannot_do_is_said_in_its_own_words() -> None:
    async with open_lab(public=1, nats=()) as lab:
        machine = lab.public[0]
        with pytest.raises(AgentFailed, match="PeerUnreachable: no node runs"):
            await machine.ask(Addresses(), tuple[str, ...])
        started = await machine.ask(Start(), Started)
        with pytest.raises(AgentFailed, match="PeerUnreachable"):
            await machine.ask(Call(started.node, 1, 1.0), float)
        await machine.kill()
        with pytest.raises(AgentFailed, match="no node runs"):
            await machine.ask(Addresses(), tuple[str, ...])


async def test_a_machine_without_the_tools_is_told_which_packages_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    reason = await can_make_networks()
    assert reason is not None
    assert "root" in reason or "missing Debian packages: iproute2 iptables" in reason
