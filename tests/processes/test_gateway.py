"""A swarm of processes behind one endpoint: the openai client asks it, a node dies, nothing is left behind."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openai import BadRequestError, OpenAI

from tests.processes.nodes import run, running, url_in
from tests.processes.proc import PATIENCE_SECONDS, processes_of, send, until
from tests.processes.server import ANSWER, HeldServer
from waggle.node.home.home import NodeHome

pytestmark = pytest.mark.timeout(400)

QUESTION = "How many 1 bits are there in the number 1453?"


def names_of(client: OpenAI) -> list[str]:
    """The models that can be asked for alone."""
    return [model.id for model in client.models.list() if model.id.startswith("solo/")]


@pytest.fixture
def swarm(root: Path, server: HeldServer, held: HeldServer) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Three nodes, the first with a gateway; xenia's answers can be held back."""
    engines = [f"{server.url}#yarrow", f"{held.url}#xenia", f"{server.url}#zinnia"]
    words = [word for engine in engines for word in ("--engine", engine)]
    with running(root, "up", "--nodes", "3", "--gateway-port", "0", *words) as command:
        yield url_in(root), command
        held.release()


def test_the_openai_client_asks_a_swarm_of_processes(
    swarm: tuple[str, subprocess.Popen[str]], root: Path, held: HeldServer
) -> None:
    url, command = swarm
    client = OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    until(lambda: len(names_of(client)) == 3, PATIENCE_SECONDS, "all three models are offered")
    made = client.chat.completions.create(model="swarm", messages=[{"role": "user", "content": QUESTION}])
    assert ANSWER in (made.choices[0].message.content or "")
    assert made.usage is not None
    assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens > 0
    with pytest.raises(BadRequestError):
        client.chat.completions.create(model="swarm", messages=[{"role": "user", "content": ""}])
    pieces = client.chat.completions.create(
        model="solo/zinnia", messages=[{"role": "user", "content": QUESTION}], stream=True
    )
    assert ANSWER in "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert "<title>" in httpx.get(f"{url}/", timeout=PATIENCE_SECONDS).text

    held.hold()
    with httpx.stream(
        "POST",
        f"{url}/v1/chat/completions",
        json={"model": "swarm", "messages": [{"role": "user", "content": QUESTION + " "}], "stream": True},
        timeout=PATIENCE_SECONDS,
    ) as stream:
        lines = stream.iter_lines()
        assert '"role":"assistant"' in next(lines).replace(" ", "")
        until(lambda: held.waiting, PATIENCE_SECONDS, "xenia is asked")
        send(signal.SIGKILL, NodeHome(root, "up-xenia").running().pid)  # type: ignore[union-attr]
        rest = "\n".join(lines)
    assert ANSWER in rest
    assert rest.rstrip().endswith("data: [DONE]")

    command.send_signal(signal.SIGINT)
    until(lambda: not processes_of(root), PATIENCE_SECONDS, "every process is gone")


def test_an_address_that_others_reach_needs_a_key(root: Path) -> None:
    refused = run(root, "serve", "--engine", "scripted:a", "--gateway-host", "0.0.0.0", "--port", "0").expect(2)
    assert "waggle key create" in refused.stderr
    key = run(root, "key", "create", "me").expect(0).stdout.split()[-1]
    with running(root, "serve", "--engine", "scripted:a", "--gateway-host", "0.0.0.0", "--port", "0"):
        models = f"{url_in(root)}/v1/models"
        assert status_of(models) == 401
        assert status_of(models, Authorization=f"Bearer {key}x") == 401
        assert status_of(models, Authorization=f"Bearer {key}") == 200
        run(root, "key", "revoke", "me").expect(0)
        assert status_of(models, Authorization=f"Bearer {key}") == 401


def status_of(url: str, **headers: str) -> int:
    """How a GET ends."""
    return httpx.get(url, headers=headers, timeout=PATIENCE_SECONDS).status_code


def test_a_gateway_serves_what_is_up_and_tells_what_is_down(root: Path, server: HeldServer) -> None:
    words = [f"--engine={server.url}#yarrow", "--engine=http://127.0.0.1:9/v1#zinnia"]
    with running(root, "serve", "--port", "0", *words):
        client = OpenAI(base_url=f"{url_in(root)}/v1", api_key="none", max_retries=0)
        told = {model.id: model.model_dump()["waggle"] for model in client.models.list()}
        assert told["solo/yarrow"]["nodes"] == ["yarrow"]
        assert told["solo/zinnia"]["nodes"] == []
        assert "cannot be reached" in told["solo/zinnia"]["down"]["zinnia"]
        for model in ("swarm", "solo/yarrow"):
            made = client.chat.completions.create(model=model, messages=[{"role": "user", "content": QUESTION}])
            assert ANSWER in (made.choices[0].message.content or "")
        assert "an engine cannot be used now engine=zinnia" in (root / "out").read_text()
