"""A look from outside leaves nothing behind: not even a killed one does, for longer than until the next."""

import asyncio
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from tests.adverts import advert
from waggle.core.asking import AskOptions
from waggle.core.errors import PeerUnreachable
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Advert, SharedFiles
from waggle.mesh.members.visit import Visitor
from waggle.node.network.outside import ELSEWHERE, _sharers, ask_via, passer_by
from waggle.trust.keys import NodeKey

pytestmark = pytest.mark.timeout(300)

LOOKER = """
import asyncio
from waggle.node.network.outside import passer_by
async def look():
    async with passer_by() as (transport, key):
        print(transport.daemon_pid, flush=True)
        await asyncio.sleep(600)
asyncio.run(look())
"""


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory for temporary files of this test alone; its name is short, as sockets ask for."""
    with tempfile.TemporaryDirectory(prefix="wo", dir="/tmp") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(folder)


def keys_during_a_look(place: Path) -> list[Path]:
    """The throwaway keys that lie there while we look from outside."""

    async def look() -> list[Path]:
        async with passer_by():
            return await asyncio.to_thread(keys_in, place)

    return asyncio.run(look())


def keys_in(place: Path) -> list[Path]:
    return list(place.rglob("key"))


def test_the_key_of_a_killed_look_is_swept_by_the_next(place: Path) -> None:
    looker = subprocess.Popen((sys.executable, "-c", LOOKER), stdout=subprocess.PIPE, text=True)
    with looker:
        assert looker.stdout is not None
        assert looker.stdout.readline().strip().isdecimal()
        looker.send_signal(signal.SIGKILL)
    (left,) = keys_in(place)
    (ours,) = keys_during_a_look(place)
    assert ours != left
    assert keys_in(place) == []


def sharing(node: str, *shared: str) -> Advert:
    """The advert of a node that shares models of these names."""
    return advert(node, shared=tuple(SharedFiles(name=each, manifest="0" * 64, size=1) for each in shared))


class Known:
    """A visitor who knows four nodes and reaches all but one."""

    def adverts(self) -> tuple[Advert, ...]:
        return (advert("first"), sharing("ann", "thyme"), sharing("bob", "sage"), sharing("cut", "sage"), advert("dan"))

    async def reach(self, node: NodeId) -> None:
        if node == "cut":
            raise PeerUnreachable("gone")


@pytest.mark.parametrize(
    ("wanted", "asked"), [("sage", ["first", "bob"]), ("nosuch", ["first", "ann", "bob"]), ("0" * 64, ["first", "ann"])]
)
def test_who_shares_anything_is_asked_where_nobody_names_the_model(wanted: str, asked: list[str]) -> None:
    found = asyncio.run(_sharers(cast(Visitor, Known()), NodeId("first"), wanted))
    assert found[: len(asked)] == asked


def test_who_finds_nobody_is_told_in_plain_words_to_name_another_node() -> None:
    gone = f"/ip4/127.0.0.1/tcp/1/p2p/{NodeKey.generate().node_id}"
    with pytest.raises(PeerUnreachable) as caught:
        asyncio.run(ask_via([[gone]], "waggle", "How many?", AskOptions()))
    why = "the peer cannot be reached: nothing listens at its address"
    assert str(caught.value) == f"no node answers there: {why}. {ELSEWHERE}"
