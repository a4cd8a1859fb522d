"""What hinders the node is on the page of the swarm."""

import html

from fastapi import FastAPI
from fastapi.testclient import TestClient

from waggle.core.ids import NodeId
from waggle.dashboard.attach import attach
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.network.twins import THEY_END
from waggle.node.rounds.swarm import Swarm
from waggle.node.services.local import LocalService, make_local_service

HEADING = "What hinders this node"


class Hindered:
    """A service whose node has these troubles."""

    def __init__(self, inner: LocalService, troubles: tuple[str, ...]) -> None:
        self.id, self.ask, self.generate, self.embed = inner.id, inner.ask, inner.generate, inner.embed
        self.models, self.peers, self.load, self.troubles = inner.models, inner.peers, inner.load, troubles


async def page_of(*troubles: str) -> str:
    """The page as it is delivered."""
    app = FastAPI(openapi_url=None)
    inner = await make_local_service(Swarm({NodeId("bee"): ScriptedEngine(Script(name="bee"), {})}))
    attach(app, Hindered(inner, troubles), history=None)
    with TestClient(app) as client:
        return client.get("/swarm").text


async def test_the_swarm_page_says_what_hinders_the_node() -> None:
    page = await page_of(THEY_END, "a peer says: </script><script>mischief()</script>")
    assert HEADING in page
    assert THEY_END in html.unescape(page)
    assert "<script>mischief()" not in page


async def test_without_troubles_the_page_says_nothing_of_them() -> None:
    assert HEADING not in await page_of()
