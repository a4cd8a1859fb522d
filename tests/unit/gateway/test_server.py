"""The gateway's server: where it listens, how it ends, and that it leaves signals alone."""

import asyncio
import signal

import httpx
import pytest
from fastapi import FastAPI

from tests.unit.gateway.conftest import PATIENCE
from waggle.core.errors import UsageError
from waggle.gateway.options import GatewayOptions
from waggle.gateway.server import bound, serving, url_of

ANY = GatewayOptions(port=0, drain_seconds=30.0)


def slow_app(started: asyncio.Event) -> FastAPI:
    app = FastAPI()

    @app.get("/slow")
    async def slow() -> dict[str, str]:
        started.set()
        await asyncio.sleep(0.3)
        return {"is": "done"}

    return app


async def test_what_is_under_way_is_answered_before_the_server_ends() -> None:
    started = asyncio.Event()
    before = signal.getsignal(signal.SIGINT)
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        async with serving(slow_app(started), ANY) as url:
            asking = asyncio.create_task(client.get(f"{url}/slow"))
            await started.wait()
            assert signal.getsignal(signal.SIGINT) is before
        assert (await asking).json() == {"is": "done"}
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{url}/slow")


async def test_a_request_that_outlasts_the_drain_does_not_keep_the_server() -> None:
    started = asyncio.Event()
    app = FastAPI()

    @app.get("/never")
    async def never() -> None:
        started.set()
        await asyncio.sleep(600)

    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        async with asyncio.timeout(PATIENCE), serving(app, GatewayOptions(port=0, drain_seconds=1.0)) as url:
            asking = asyncio.create_task(client.get(f"{url}/never"))
            await started.wait()
        answers = await asyncio.gather(asking, return_exceptions=True)
        assert isinstance(answers[0], httpx.HTTPError) or answers[0].status_code >= 500  # type: ignore[union-attr]


async def test_a_taken_port_is_a_clear_error() -> None:
    async with serving(FastAPI(), ANY) as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(UsageError, match=f"port {port} is in use"):
            async with serving(FastAPI(), GatewayOptions(port=port)):
                pass


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "\0"])
def test_an_address_that_is_not_ours_is_a_clear_error(host: str) -> None:
    with pytest.raises(UsageError):
        bound(host, 0)


def test_a_url_names_an_address_that_can_be_reached() -> None:
    for host, begins in (("127.0.0.1", "http://127.0.0.1:"), ("0.0.0.0", "http://127.0.0.1:")):
        listener = bound(host, 0)
        assert url_of(listener).startswith(begins)
        listener.close()
