"""A bundled model, exported and served by llama.cpp's real server, answers through the engine as it does at home.

Runs where a Python with `llama-cpp-python[server]` is at hand: this one, or the one that
WAGGLE_TEST_LLAMA_SERVER names.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from waggle.core.asking import AskOptions
from waggle.core.engine_values import GenerateRequest, Generation, JudgeRequest
from waggle.core.errors import EngineError
from waggle.engines.local.engine import LocalEngine, load_model
from waggle.engines.openai.bounded_http import HttpBounds
from waggle.engines.openai.engine import OpenAIHttpEngine
from waggle.engines.openai.settings import ServerSettings
from waggle.engines.protocol import Engine
from waggle.models.hive import hive_folder, hive_names, read_card
from waggle.models.prompts import ANSWER_MARKER
from waggle.node.engines.opening import open_engines
from waggle.node.rounds.swarm import Swarm
from waggle.training.questions import Question, Split, is_right, questions

SERVER = os.environ.get("WAGGLE_TEST_LLAMA_SERVER") or (sys.executable if find_spec("llama_cpp") else None)
STARTS_WITHIN_S = 240
ASKED = 20

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(SERVER is None, reason="no llama_cpp, and WAGGLE_TEST_LLAMA_SERVER names no Python that has it"),
    pytest.mark.skipif(find_spec("gguf") is None, reason="the extra `export` is not installed"),
]


def families_of(name: str) -> list[str]:
    """What the model was measured to know."""
    return [family for family, skill in read_card(hive_folder(name)).skills.items() if skill >= 0.9]


def questions_for(name: str, count: int) -> list[Question]:
    """Of the model's own families in turn."""
    families = families_of(name)
    each = -(-count // len(families))
    found = [question for family in families for question in islice(questions(family, Split.MEASURE, 11), each)]
    return found[:count]


@contextmanager
def served(model: Path, log: Path, *extra: str) -> Iterator[str]:
    """The base URL of a llama.cpp server that serves the file."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ("--model", str(model), "--model_alias", model.stem, "--host", "127.0.0.1", "--port", str(port))
    fixed = ("--n_ctx", "0", "--last_n_tokens_size", "0", "--interrupt_requests", "False", "--embedding", "True")
    command = [str(SERVER), "-m", "llama_cpp.server", *options, *fixed, *extra]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT) as process:
        try:
            transport = httpx.HTTPTransport(retries=0)
            with httpx.Client(transport=transport, timeout=2.0) as client:
                _wait_for(client, f"http://127.0.0.1:{port}/v1/models", process, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()


def _wait_for(client: httpx.Client, url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(STARTS_WITHIN_S * 4):
        try:
            if client.get(url).status_code == 200:
                return
        except httpx.TransportError:
            pass
        try:
            process.wait(0.25)
        except subprocess.TimeoutExpired:
            continue
        break
    pytest.fail(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")


@pytest.fixture(scope="module", params=hive_names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def url(name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from waggle.models.gguf import export_gguf

    folder = tmp_path_factory.mktemp("served")
    export_gguf(hive_folder(name), folder / f"{name}.gguf")
    with served(folder / f"{name}.gguf", folder / "log") as base:
        yield base


@pytest_asyncio.fixture
async def server(name: str, url: str) -> AsyncIterator[OpenAIHttpEngine]:
    settings = ServerSettings(base_url=url, model=name, answer_marker=ANSWER_MARKER, bounds=HttpBounds(retries=0))
    engine = OpenAIHttpEngine(settings)
    yield engine
    await engine.close()


@pytest_asyncio.fixture
async def local(name: str) -> AsyncIterator[LocalEngine]:
    engine = LocalEngine(load_model(hive_folder(name)))
    yield engine
    await engine.close()


async def answers(engine: Engine, asked: list[Question]) -> list[Generation]:
    return [await engine.generate(GenerateRequest(question=question.text, max_tokens=192)) for question in asked]


async def test_the_server_writes_what_the_model_writes_here(
    name: str, server: OpenAIHttpEngine, local: LocalEngine
) -> None:
    asked = questions_for(name, ASKED)
    there, here = await answers(server, asked), await answers(local, asked)
    assert [generation.text for generation in there] == [generation.text for generation in here]
    assert sum(is_right(q, generation.answer) for q, generation in zip(asked, there, strict=True)) >= ASKED * 3 // 4


async def test_log_probabilities_are_those_of_the_model(
    name: str, server: OpenAIHttpEngine, local: LocalEngine
) -> None:
    asked = questions_for(name, 4)
    for there, here in zip(await answers(server, asked), await answers(local, asked), strict=True):
        assert there.self_confidence is not None
        assert len(there.logprobs) == len(here.logprobs) - 1  # the server keeps the end token's to itself
        assert there.logprobs == pytest.approx(here.logprobs[:-1], abs=5e-3)


async def test_embeddings_point_where_those_of_the_model_point(server: OpenAIHttpEngine, local: LocalEngine) -> None:
    texts = ["What is 12 + 30?", "how many letters", "x"]
    for there, here in zip(await server.embed(texts), await local.embed(texts), strict=True):
        assert sum(a * b for a, b in zip(there, here, strict=True)) == pytest.approx(1.0, abs=1e-4)


async def test_text_of_any_kind_is_cut_into_the_same_tokens(
    name: str, server: OpenAIHttpEngine, local: LocalEngine
) -> None:
    """What the model makes of it does not matter; that both read the same does."""
    odd = ["don't  YOU'LL\n\n 12345x", "\tça 漢字 🐝!?", "a\r\nb   ", "3.14 + 2,000 = ?", "   "]
    for text in odd:
        asked = GenerateRequest(question=text, max_tokens=24)
        assert (await server.generate(asked)).text == (await local.generate(asked)).text, text


async def test_calls_at_the_same_time_are_all_answered(name: str, server: OpenAIHttpEngine) -> None:
    asked = questions_for(name, 8)
    requests = [GenerateRequest(question=question.text, max_tokens=192) for question in asked]
    together = await asyncio.gather(*(server.generate(request) for request in requests))
    assert [g.text for g in together] == [(await server.generate(request)).text for request in requests]


async def test_what_does_not_fit_into_the_context_is_an_error_and_no_answer(server: OpenAIHttpEngine) -> None:
    with pytest.raises(EngineError):
        await server.generate(GenerateRequest(question="word " * 2_000, max_tokens=8))
    request = JudgeRequest(question="What is 1 + 1?", first="2", second="3")  # its words alone overfill these models
    with pytest.raises(EngineError):
        await server.judge(request)


async def test_a_server_and_local_models_answer_together(name: str, url: str) -> None:
    """One swarm of the served model and its brothers here: it proposes, and what it proposes is counted with theirs."""
    question = questions_for(name, 1)[0]
    engines = dict(open_engines([f"{url}#{name}?marker=Answer:", *(f"hive:{other}" for other in hive_names())]))
    swarm = Swarm(engines)
    try:
        record = await swarm.ask(question.text, AskOptions(proposers=len(engines)))
    finally:
        await swarm.close()
    right = next(found for found in record.outcome.candidates if is_right(question, found.answer))
    assert {name, f"{name}-2"} <= {str(node) for node in right.supporters}
