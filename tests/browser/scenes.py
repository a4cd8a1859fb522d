"""A dashboard to look at, as a process of its own: `python tests/browser/scenes.py SCENE FOLDER`.

Each scene is one swarm in one state. Requests to /scene/... change it while somebody watches.
"""

import asyncio
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import uvicorn
from fastapi import FastAPI
from msgspec.structs import replace

from waggle.core.asking import AskOptions
from waggle.core.errors import EngineUnavailable
from waggle.core.ids import NodeId
from waggle.core.mesh_values import Advert, Liveness, Load, ModelOffer, Peer
from waggle.core.round_values import Record
from waggle.dashboard.attach import attach
from waggle.engines.actor import shifted
from waggle.engines.script import Crasher, Hanger, Script, Shill
from waggle.engines.scripted import ScriptedEngine
from waggle.node.clock import SystemClock
from waggle.node.history.history import History
from waggle.node.network.memory_swarm import start_in_memory
from waggle.node.network.mesh_node import MeshNode
from waggle.node.rounds.swarm import Swarm
from waggle.node.services.local import LocalService, make_local_service
from waggle.node.services.mesh import MeshService
from waggle.node.services.service import ServedModel, Service
from waggle.strategies.machine import Watch

TRUTH = {"What is 6 * 7?": "42", "What is the capital of Peru?": "Lima", "Spell honey backward": "yenoh"}
TRUTH["Which way is north?"] = "up"
WRONG = {"up": ("down", "left", "right", "inside"), "Lima": ("Cusco", "Quito", "La Paz", "Bogotá")}
STUCK = 600.0
"""Seconds that a call takes of the node that is going to be lost."""
NAMES = ("amber", "basil", "cedar", "daisy", "elder", "fern", "ginkgo")
HOSTILE = (
    "<script>window.pwned = 1</script>",
    '<img src=x onerror="window.pwned = 2">',
    "![x](http://evil.example/x.png) [click](javascript:alert(1))",
    "\x1b[31mred\x1b[0m \u202egnp.exe",
    "{{ constructor.constructor('window.pwned = 3')() }} ${window.pwned = 4}",
)
OURS = NodeId("12D3KooWGreenhouse7VcSBRToKM9JBQn9vkBgSKz168deDsib")
SKILLS = {"arithmetic": 0.94, "spelling": 0.41, "capitals": 0.78}


def scripts(scene: str) -> list[Script]:
    """The engines of a scene."""
    if scene == "hostile":
        return [
            Script(name=f"evil{i}", conduct=Shill(answer=text), answer_marker=None) for i, text in enumerate(HOSTILE)
        ]
    if scene == "down":
        return [Script(name=name, conduct=Crasher()) for name in NAMES[:3]]
    if scene in ("hang", "left"):
        return [Script(name=name, conduct=Hanger()) for name in NAMES[:3]]
    slow = {"swarm": 0.12, "mesh": 0.3, "mesh-slowly": 1.5, "slow": 1.0}.get(scene, 0.0)
    return [
        Script(
            name=name,
            seed=seed,
            skill=0.62,
            judge_skill=0.85,
            unreadable=0.05,
            seconds_per_call=STUCK if (scene, name) == ("mesh", NAMES[-1]) else slow * (1 + seed / 3),
            skills={kind: round(share - 0.07 * ((seed * 3) % 5), 2) for kind, share in SKILLS.items()},
        )
        for seed, name in enumerate(NAMES)
    ]


class Surrounded:
    """A service with peers in every state, or `alike` many on one local network."""

    def __init__(self, inner: LocalService, alike: int = 0) -> None:
        self._alike = alike
        self._inner = inner
        self.id, self.ask, self.generate = OURS, inner.ask, inner.generate
        self.embed, self.load = inner.embed, inner.load
        self.troubles: tuple[str, ...] = ()

    def models(self) -> tuple[ServedModel, ...]:
        mine = ServedModel(name="greenhouse", family="scripted", context_tokens=4096, nodes=(OURS,), skills=SKILLS)
        return (*self._inner.models(), mine)

    def peers(self) -> tuple[Peer, ...]:
        if self._alike:
            return tuple(
                replace(self._peer(0, f"bee{number}"), round_trip=0.0002 + 1e-6 * number)
                for number in range(self._alike)
            )
        return tuple(self._peer(number, name) for number, name in enumerate(NAMES))

    def _peer(self, number: int, name: str) -> Peer:
        offer = ModelOffer(model=name, family="scripted", context_tokens=4096, skills=SKILLS)
        advert = Advert(node=NodeId(name), network="waggle", incarnation=1, sequence=1, issued_at=time.time(), ttl=60.0,
                        version="0.1.0", name=f"{name}-box", offers=(offer,))  # fmt: skip
        peer = Peer(
            advert=advert,
            liveness=Liveness.ALIVE,
            round_trip=0.002 * 3**number,
            load=Load(running=number % 3, capacity=4),
        )
        if number == 2:
            peer = replace(peer, reason="slower than 5 tokens per second")
        if number == 5:
            peer = replace(peer, liveness=Liveness.DEAD, round_trip=None, load=None, reason="no answer to 3 pings")
        return peer


class Ailing(LocalService):
    """A service some engines of which are down."""

    def models(self) -> tuple[ServedModel, ...]:
        reasons = {"basil": "it cannot be reached", "elder": "it is out of memory"}
        return tuple(
            replace(model, nodes=(), down={NodeId(model.name): reasons[model.name]}) if model.name in reasons else model
            for model in super().models()
        )


class Mesh:
    """Real nodes on a network inside this process; the page is the first one's."""

    def __init__(self, nodes: list[MeshNode]) -> None:
        self.nodes = nodes
        self.service = MeshService(nodes[0])

    async def lose(self) -> None:
        """The last node ends without a word."""
        await self.nodes.pop().close()


class Nobody(LocalService):
    """A service without a usable engine."""

    def models(self) -> tuple[ServedModel, ...]:
        return tuple(
            replace(model, nodes=(), down={NodeId(model.name): "it cannot be reached"}) for model in super().models()
        )

    async def ask(
        self, question: str, options: AskOptions, watch: Watch | None = None, request: str | None = None
    ) -> Record:
        raise EngineUnavailable("no engine of this swarm answers")


async def make(scene: str, folder: Path) -> FastAPI:
    """The app of a scene."""
    app = FastAPI(openapi_url=None)
    if scene == "hive":
        from waggle.models.hive import hive_root
        from waggle.node.calibration import load_calibration
        from waggle.node.engines.opening import open_hive

        swarm = Swarm(open_hive(), load_calibration(hive_root() / "calibration.json"))
    else:
        clock = SystemClock()
        engines = {
            NodeId(script.name): ScriptedEngine(script, TRUTH, clock=clock, wrong=wrong) for script in scripts(scene)
        }
        if scene.startswith("mesh"):
            mesh = Mesh(await start_in_memory(engines))
            app.post("/scene/lose")(mesh.lose)
            return _attached(app, mesh.service, scene, folder)
        swarm = Swarm(engines)
    local = await make_local_service(swarm)
    if kind := {"nobody": Nobody, "ailing": Ailing}.get(scene):
        local = kind(swarm, {name: await engine.describe() for name, engine in swarm.engines.items()})
    alike = int(scene.removeprefix("lan")) if scene.startswith("lan") else 0
    return _attached(app, Surrounded(local, alike) if alike or scene == "peers" else local, scene, folder)


def _attached(app: FastAPI, service: Service, scene: str, folder: Path) -> FastAPI:
    if scene == "locked":
        app = _locked(service, folder)
    history = None if scene == "bare" else History(folder / "history.sqlite3")
    if scene in ("swarm", "hive", "hostile"):
        keys = [
            SimpleNamespace(name="laptop", scopes=("ask",), revoked=None),
            SimpleNamespace(name="old", scopes=("ask", "admin"), revoked=1.0),
        ]
        app.state.keys = SimpleNamespace(list=lambda: keys)
    attach(
        app,
        service,
        history=history,
        quality=None if scene == "bare" else folder / "quality.json",
        settings=None if scene == "bare" else settings,
        logs=None if scene == "bare" else logs,
    )
    return app


def _locked(service: Service, folder: Path) -> FastAPI:
    """A whole gateway that asks for keys; the texts of two are put in files."""
    from waggle.gateway.app import make_app
    from waggle.gateway.keys.store import ADMIN, ASK, KeyStore
    from waggle.gateway.options import GatewayOptions

    keys = KeyStore(folder / "keys.sqlite")
    for scope in (ASK, ADMIN):
        (folder / f"{scope}.key").write_text(keys.create(f"{scope}-key", (scope,))[0])
    return make_app(service, GatewayOptions(port=0, min_confidence=0.7), keys=keys)


def wrong(truth: str, number: int) -> str:
    """A wrong answer that looks like one."""
    return WRONG[truth][(number - 1) % 4] if truth in WRONG else shifted(truth, number)


def settings() -> dict[str, object]:
    """As `waggle config` has them."""
    return {
        "name": ("node", "default"),
        "network": ("garden", "waggle.toml"),
        "engines": (["http://localhost:11434/v1#qwen3:8b", "./models/small"], "WAGGLE_ENGINES"),
        "log_level": ("info", "default"),
    }


def logs() -> Sequence[str]:
    """A short log."""
    return [f"12:00:{second:02} info round ended confidence=0.9{second}" for second in range(8)]


async def main() -> None:
    """Serve a scene on a free port until the process is ended; says the port first."""
    scene, folder = sys.argv[1:]
    app = await make(scene, Path(folder))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        print(listener.getsockname()[1], flush=True)
        await uvicorn.Server(uvicorn.Config(app, log_level="warning")).serve(sockets=[listener])


if __name__ == "__main__":
    asyncio.run(main())
