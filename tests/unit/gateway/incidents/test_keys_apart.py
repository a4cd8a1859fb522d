"""What one key asks is nothing to another: not by a used request id, an address, or how fast it is answered."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx
import pytest
from torch import Tensor

from tests.unit.gateway.conftest import PATIENCE, QUESTION, bees, caller, make_play
from tests.unit.gateway.incidents.gateway import running
from tests.unit.models.tiny import tiny_folder
from waggle.core.ids import NodeId
from waggle.engines.local.engine import LocalEngine, load_model
from waggle.engines.local.jobs import Job
from waggle.engines.protocol import Engine
from waggle.gateway.app import make_app
from waggle.gateway.door.asked import MOST_REMEMBERED, RequestIds
from waggle.gateway.keys.store import KeyStore
from waggle.gateway.options import GatewayOptions
from waggle.node.history.history import History
from waggle.node.rounds.swarm import Swarm
from waggle.node.services.local import make_local_service

SECRET = "the combination of my grandmother's safe is 17 - 4 - 1931"
OWN = "5eed" * 8
CHAT, SOCKET = "/v1/chat/completions", "/_nicegui_ws/socket.io/?EIO=4&transport=polling"
KINDS = (CHAT, "/v1/completions", "/v1/responses", "/v1/conversations", "/v1/threads")
Ask = Callable[[str, str], Awaitable[tuple[int, int]]]


class Passes:
    """Counts the passes of decoders and the tokens in them, which is what an answer's time goes by."""

    def __init__(self) -> None:
        self._passes = self._tokens = 0

    def watch(self, engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
        """Count this one's, too."""
        compute = engine._batcher._compute

        def counting(first: int, jobs: Sequence[Job], fed: list[list[int]]) -> Tensor:
            self._passes += 1
            self._tokens += sum(map(len, fed))
            return compute(first, jobs, fed)

        monkeypatch.setattr(engine._batcher, "_compute", counting)

    def take(self) -> tuple[int, int]:
        """What was computed since the last call."""
        taken, self._passes, self._tokens = (self._passes, self._tokens), 0, 0
        return taken


@asynccontextmanager
async def decoders_behind_keys(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ask]:
    """A gateway to two real decoders; gives what asks as the holder of a key, and tells the work that it took."""
    passes, engines = Passes(), dict[NodeId, Engine]()
    for seed, name in enumerate(("one", "two")):
        engine = LocalEngine(load_model(tiny_folder(folder / name, seed=seed, marker=None, context=1024)))
        passes.watch(engine, monkeypatch)
        engines[NodeId(name)] = engine
    service = await make_local_service(Swarm(engines))
    with closing(KeyStore(folder / "keys.sqlite")) as store:
        keys = {name: store.create(name)[0] for name in ("ann", "eve")}
        options = GatewayOptions(request_seconds=600.0, budget_seconds=600.0)  # passes are counted, not seconds
        async with caller(make_app(service, options, keys=store)) as calling:

            async def ask(name: str, model: str) -> tuple[int, int]:
                passes.take()
                messages = [{"role": "user", "content": SECRET}]
                body = {"model": model, "messages": messages, "max_tokens": 60}
                reply = await calling.post(CHAT, json=body, headers=bearer(keys[name]))
                assert reply.status_code == 200, reply.text
                return passes.take()

            yield ask
    await service.close()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("model", ["solo/one", "swarm"])
async def test_a_key_gains_no_time_by_what_another_key_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    async with decoders_behind_keys(tmp_path, monkeypatch) as ask:
        first, again = await ask("ann", model), await ask("ann", model)
        assert again < first  # or there would be nothing that time could tell
        assert await ask("eve", model) == first
        assert await ask("eve", model) == again


async def test_a_used_request_id_opens_nothing_and_replaces_nothing(tmp_path: Path) -> None:
    history, playing = History(tmp_path / "history.db"), await make_play(**bees())
    with closing(KeyStore(tmp_path / "keys.sqlite")) as store:
        ann, eve = (store.create(name)[0] for name in ("ann", "eve"))
        async with caller(make_app(playing.service, GatewayOptions(), keys=store, history=history)) as calling:
            body = {"model": "swarm", "messages": [{"role": "user", "content": QUESTION}]}
            kept = (await calling.post(CHAT, json=body, headers=bearer(ann) | {"X-Request-Id": OWN})).json()
            made = (await calling.post(CHAT, json=body, headers=bearer(ann))).json()
            theirs = []
            for name in (OWN, made["waggle"]["round_id"]):  # one that a client chose, one that the gateway chose
                calls = playing.calls
                reply = await calling.post(CHAT, json=body, headers=bearer(eve) | {"X-Request-Id": name})
                assert playing.calls > calls  # a round of its own
                assert reply.headers["x-request-id"] == reply.json()["waggle"]["round_id"] != name
                theirs.append(reply.json()["waggle"]["round_id"])
    assert history.flush()
    whose = {row.round_id: row.key for row in history.search()}
    first = dict.fromkeys((kept["waggle"]["round_id"], made["waggle"]["round_id"]), "ann")
    assert whose == first | dict.fromkeys(theirs, "eve")
    assert kept["waggle"]["round_id"] == OWN
    history.close()
    await playing.service.close()


async def test_who_is_turned_away_uses_up_no_request_id_of_others(tmp_path: Path) -> None:
    async with running(tmp_path, keys=True) as gateway:
        base = f"http://127.0.0.1:{gateway.port}"
        async with httpx.AsyncClient(base_url=base, timeout=PATIENCE) as calling:
            for headers in ({}, bearer("wk-" + "A" * 43)):
                reply = await calling.get("/v1/models", headers=headers | {"X-Request-Id": OWN})
                assert reply.status_code == 401
            reply = await calling.get("/v1/models", headers=bearer(gateway.ask) | {"X-Request-Id": OWN})
            assert (reply.status_code, reply.headers["x-request-id"]) == (200, OWN)


def test_names_are_remembered_up_to_a_bound() -> None:
    ids = RequestIds()
    for number in range(MOST_REMEMBERED):
        ids.use(f"{number:032x}")
    assert ids.name([b"0" * 32]) != "0" * 32
    ids.use("f" * 32)
    assert len(ids._used) == MOST_REMEMBERED
    assert ids.name([b"f" * 32]) != "f" * 32


async def test_no_address_of_the_api_gives_back_what_was_asked_before(tmp_path: Path) -> None:
    async with running(tmp_path, keys=True) as gateway:
        base, headers = f"http://127.0.0.1:{gateway.port}", bearer(gateway.ask)
        async with httpx.AsyncClient(base_url=base, headers=headers, timeout=PATIENCE) as calling:
            body = {"model": "swarm", "messages": [{"role": "user", "content": f"{SECRET}. {QUESTION}"}]}
            made = (await calling.post(CHAT, json=body)).json()
            named = made["id"], made["waggle"]["round_id"], f"resp_{made['waggle']['round_id']}"
            places = [f"{kind}/{name}{end}" for kind in KINDS for name in named for end in ("", "/messages", "/events")]
            for place in (*KINDS, *places, "/v1/rounds", "/v1/models", "/health/ready"):
                for method in ("GET", "DELETE", "POST"):
                    reply = await calling.request(method, place)
                    assert reply.status_code != 200 or place in ("/v1/models", "/health/ready"), place
                    assert "grandmother" not in reply.text
            continued = {"model": "swarm", "input": "And then?", "previous_response_id": named[2]}
            reply = await calling.post("/v1/responses", json=continued)
            assert (reply.status_code, reply.json()["error"]["param"]) == (400, "previous_response_id")


async def test_a_key_that_may_ask_sees_no_history_and_no_live_view(tmp_path: Path) -> None:
    async with running(tmp_path, keys=True) as gateway:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}", timeout=PATIENCE) as calling:
            for place in ("/", "/ask", "/rounds", f"/rounds/{OWN}", "/swarm", "/quality", "/node", "/metrics", SOCKET):
                assert (await calling.get(place, headers=bearer(gateway.ask))).status_code == 403, place
                signed = await calling.post("/login", data={"key": gateway.ask})
                assert signed.status_code == 403
                assert "set-cookie" not in signed.headers
        assert gateway.passed == []


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
