"""What hinders a running node is told by the verbs that look at it."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from msgspec.structs import replace

from tests.unit.cli.ran import Waggle, run_info
from waggle.cli.doctor import _nodes
from waggle.cli.up import _state
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Load
from waggle.node.control.messages import Peers, PeersReply, Reply, Request, StatusReply
from waggle.node.control.server import ControlServer
from waggle.node.home.home import NodeHome
from waggle.node.network.twins import THEY_END
from waggle.node.running.fleet import Member

HOSTILE = "a peer says: \x1b[31m"
STATUS = StatusReply(
    node=NodeId("n"), name="bee", network="w", version="0", addresses=(), load=Load(), seconds=1.0, peers=0,
    troubles=(THEY_END, HOSTILE),
)  # fmt: skip


async def handle(request: Request) -> Reply:
    """As a node that sees nobody and has troubles."""
    return PeersReply(peers=(), total=0) if isinstance(request, Peers) else STATUS


async def serve(path: Path, up: threading.Event, stop: threading.Event) -> None:
    async with ControlServer(path, handle):
        up.set()
        await asyncio.to_thread(stop.wait)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's folder, in which the node bee runs."""
    with TemporaryDirectory(prefix="wt", dir="/tmp") as name:
        root, up, stop = Path(name), threading.Event(), threading.Event()
        monkeypatch.setenv("WAGGLE_HOME", name)
        monkeypatch.chdir(name)
        bee = NodeHome(root, "bee")
        with bee.lock():
            control = bee.control_path()
            serving = threading.Thread(target=lambda: asyncio.run(serve(control, up, stop)))
            serving.start()
            assert up.wait(50)
            bee.publish(run_info("bee", control=str(control)))
            try:
                yield root
            finally:
                stop.set()
                serving.join(50)


def test_peers_tells_them_beside_the_list(waggle: Waggle, home: Path) -> None:
    ran = waggle("peers")
    assert (ran.status, ran.out) == (0, "bee sees nobody: invite others with waggle invite\n")
    assert f"bee: {THEY_END}" in ran.err
    assert "\x1b" not in ran.err


def test_peers_tells_them_in_json(waggle: Waggle, home: Path) -> None:
    ran = waggle("peers", "--json")
    assert json.loads(ran.out)["self"]["troubles"] == [THEY_END, HOSTILE]


def test_doctor_has_a_row_for_each(home: Path) -> None:
    rows = _nodes(home)
    assert [(what, found, fine) for what, found, _, fine in rows] == [("node bee", "hindered", False)] * 2
    assert rows[0][2] == THEY_END
    assert rows[1][2].isprintable()
    assert _nodes(home / "nobody") == []


def test_the_table_of_up_shows_the_first(home: Path) -> None:
    assert THEY_END.startswith(_state(Member(name="bee", models="", status=STATUS)).plain.removesuffix("..."))
    assert _state(Member(name="bee", models="", status=replace(STATUS, troubles=()))).plain == "up"
