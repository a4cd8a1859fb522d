"""A swarm that others run is asked from outside, over libp2p, as often as wanted in one block."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import waggle
from waggle.core.errors import PeerUnreachable, UsageError
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.config.settings import LOOPBACK, Settings
from waggle.node.running.running import Ready, run_node
from waggle.trust.keys import NodeKey

pytestmark = pytest.mark.timeout(300)

QUESTION = "What is 2 + 3?"
OPTIONS = waggle.AskOptions(use_judges=False)


@asynccontextmanager
async def node() -> AsyncIterator[str]:
    """A node that runs in this process as `waggle join` runs one; gives its invite."""
    ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    with TemporaryDirectory(prefix="wl", dir="/tmp") as folder:
        settings = Settings(home=Path(folder), listen=LOOPBACK, multicast=False)
        engines = {"bee": ScriptedEngine(Script(name="bee", skill=1.0), {QUESTION: "5"})}
        async with asyncio.TaskGroup() as group:
            group.create_task(run_node(settings, [], engines, None, stop=stop, ready=ready.set_result))
            try:
                yield (await ready).invite
            finally:
                stop.set()


async def test_a_running_swarm_is_asked_and_followed_by_its_invite() -> None:
    async with node() as invite, waggle.join(invite) as swarm:
        first = await swarm.ask(QUESTION, min_confidence=0.0)
        assert first.text == "5"
        *pictures, last = [step async for step in swarm.follow(QUESTION, strategy="vote", min_confidence=0.0)]
        assert isinstance(last, waggle.Answer)
        assert last.text == "5"
        assert pictures
        assert [picture.outcome for picture in waggle.replay(last.record)][-1] == last.record.outcome
        unjudged = await swarm.ask(QUESTION, options=OPTIONS)
        assert unjudged.record.plan.judges == ()


@pytest.mark.parametrize(
    ("invites", "fault"),
    [
        ([], "no invite was given"),
        (["nobody"], "is no invite"),
        (["{0}?network=a", "{0}?network=b"], "different networks"),
    ],
)
async def test_what_leads_nowhere_is_refused(invites: list[str], fault: str) -> None:
    address = f"/ip4/127.0.0.1/tcp/1/p2p/{NodeKey.generate().node_id}"
    with pytest.raises(UsageError, match=fault):
        async with waggle.join(*(invite.format(address) for invite in invites)):
            raise AssertionError("joined")


async def test_a_swarm_that_is_gone_cannot_be_joined() -> None:
    with pytest.raises(PeerUnreachable, match="no node answers there"):
        async with waggle.join(f"/ip4/127.0.0.1/tcp/1/p2p/{NodeKey.generate().node_id}"):
            raise AssertionError("joined")
