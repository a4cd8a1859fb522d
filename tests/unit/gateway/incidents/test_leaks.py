"""What goes wrong is told in our own words: no path, key or prompt of anybody stands in an error or in the log."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx
import pytest

from tests.unit.gateway.conftest import FakeService
from waggle.core.errors import (
    CheckpointError,
    EngineRefused,
    EngineUnavailable,
    LocalProtocolError,
    NotConverged,
    PeerBusy,
    PeerRefused,
    PeerUnreachable,
    RemoteProtocolError,
)
from waggle.gateway.app import make_app
from waggle.gateway.keys.store import KeyStore
from waggle.gateway.options import GatewayOptions

SECRET = "/home/me/private/key.pem http://10.0.0.7:11434/v1 sk-proj-SECRET another person's prompt"
WORDS = (
    "private", "key.pem", "10.0.0.7", "sk-proj", "SECRET", "another", "Traceback", "site-packages", ".py",
)  # fmt: skip
PROMPT = "my own very private question"
FAULTS: list[Exception] = [
    *(kind(SECRET) for kind in (CheckpointError, EngineRefused, EngineUnavailable, PeerBusy, PeerRefused)),
    *(kind(SECRET) for kind in (PeerUnreachable, LocalProtocolError, RemoteProtocolError, NotConverged)),
    *(kind(SECRET) for kind in (RuntimeError, KeyError, ValueError, OSError, AssertionError, TimeoutError)),
    ExceptionGroup(SECRET, [ValueError(SECRET)]),
    UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, SECRET),
]


@asynccontextmanager
async def client_of(service: FakeService, keys: KeyStore | None = None) -> AsyncIterator[httpx.AsyncClient]:
    app = make_app(service, GatewayOptions(), keys=keys)
    door = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=door, base_url="http://localhost") as client:
        yield client


def assert_silent(reply: httpx.Response, *more: str) -> None:
    told = reply.text + repr(reply.headers)
    assert [word for word in (*WORDS, *more) if word in told] == []
    assert "error" in told


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_node_or_an_engine_says_of_its_failure_stays_inside(
    fault: Exception, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with client_of(FakeService(fails=fault)) as client:
        for model in ("solo/ant", "swarm"):
            body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": PROMPT}]}
            reply = await client.post("/v1/chat/completions", json=body)
            assert_silent(reply, PROMPT)
            assert stream or reply.status_code >= 400
    said = "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records if "waggle" in record.name)
    assert PROMPT not in said
    assert "another person" not in said


HOSTILE = [
    ("POST", "/v1/chat/completions", b'{"model": "swarm", "messages": [{"role": "user", "content": "SECRET"'),
    ("POST", "/v1/chat/completions", b'{"model": "swarm", "messages": "SECRET"}'),
    ("POST", "/v1/chat/completions", b'{"model": "swarm", "messages": [{"role": "user", "content": ["SECRET"]}]}'),
    ("POST", "/v1/chat/completions", b'{"model": "swarm", "messages": [{"role": "SECRET", "content": "SECRET"}]}'),
    ("POST", "/v1/chat/completions", b'{"model": "swarm", "messages": [], "n": "SECRET"}'),
    ("POST", "/v1/chat/completions", b"\xff\xfeSECRET"),
    ("POST", "/v1/chat/completions", b"SECRET" * 500_000),
    ("POST", "/v1/embeddings", b'{"model": "ant", "input": {"SECRET": 1}}'),
    ("POST", "/v1/responses", b'{"model": "swarm", "input": [{"type": "SECRET"}]}'),
    ("GET", "/v1/SECRET", b""),
    ("GET", "/SECRET/../x", b""),
    ("DELETE", "/v1/models", b"SECRET"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body"), HOSTILE, ids=lambda part: str(part)[:40])
async def test_a_refusal_repeats_nothing_of_the_request(method: str, path: str, body: bytes) -> None:
    async with client_of(FakeService()) as client:
        headers = {"content-type": "application/json", "cookie": "a=SECRET", "x-waggle-explain": "true"}
        reply = await client.request(method, path, content=body, headers=headers)
        assert reply.status_code >= 400
        assert_silent(reply)
        assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


async def test_a_key_stands_in_no_answer_and_no_log_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with closing(KeyStore(tmp_path / "keys.sqlite")) as keys:
        text, _ = keys.create("ann", requests_per_minute=1)
        async with client_of(FakeService(fails=EngineUnavailable("no")), keys) as client:
            for key in (text, text, text + "x", "wk-" + "S" * 43):
                body = {"model": "solo/ant", "messages": [{"role": "user", "content": PROMPT}]}
                reply = await client.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})
                assert reply.status_code in (401, 429, 503)
                assert_silent(reply, key[8:], PROMPT)
    said = "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert text[8:] not in said
    assert PROMPT not in said
