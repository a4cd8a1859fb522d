"""Engines from what a person writes: hive, server or folder; anything else is refused with what to write instead."""

from pathlib import Path

import pytest

from tests.unit.models.tiny import tiny_folder
from tests.virtual import in_virtual_time
from waggle.core.engine_values import GenerateRequest
from waggle.core.errors import CheckpointError, UsageError
from waggle.core.ids import NodeId
from waggle.engines.local.engine import LocalEngine
from waggle.engines.openai.engine import OpenAIHttpEngine
from waggle.engines.protocol import Engine
from waggle.node.engines.opening import open_engines, sum_in

pytestmark = pytest.mark.timeout(300)

SERVER = "http://127.0.0.1:9/v1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("models") / "tiny")


@in_virtual_time
async def opened(*specs: str, key_variable: str | None = None) -> dict[str, Engine]:
    """The engines, closed again: what is asked here is only their names and kinds."""
    engines: dict[str, Engine] = {str(node): e for node, e in open_engines(specs, key_variable=key_variable).items()}
    for engine in engines.values():
        await engine.close()
    return engines


def test_a_server_is_named_after_its_model() -> None:
    engines = opened(f"{SERVER}#qwen3:8b")
    engine = engines["qwen3:8b"]
    assert isinstance(engine, OpenAIHttpEngine)
    assert (engine.settings.base_url, engine.settings.model) == (SERVER, "qwen3:8b")


def test_a_folder_is_named_by_its_card(folder: Path) -> None:
    engines = opened(str(folder))
    assert isinstance(engines["tiny"], LocalEngine)


def test_the_same_name_twice_gets_a_number(folder: Path) -> None:
    engines = opened(str(folder), f"{SERVER}#tiny", str(folder), f"{SERVER}#other")
    assert set(engines) == {"tiny", "tiny-2", "tiny-3", "other"}


def test_a_number_that_is_taken_is_not_given_again() -> None:
    assert list(opened(f"{SERVER}#a", f"{SERVER}#a-2", f"{SERVER}#a")) == ["a", "a-2", "a-3"]


def test_a_server_without_a_model_is_refused_with_an_example() -> None:
    for spec in (SERVER, f"{SERVER}#"):
        with pytest.raises(UsageError, match="behind a #, as in"):
            open_engines([spec])


@pytest.mark.parametrize("spec", ["/no/such/folder", "localhost:11434/v1#model", "qwen3:8b", "ftp://host/v1#model"])
def test_what_is_neither_a_folder_nor_an_address_is_refused(spec: str) -> None:
    with pytest.raises(UsageError, match="neither a model folder nor an address"):
        open_engines([spec])


@pytest.mark.parametrize("spec", ["", "  "])
def test_an_empty_spec_is_refused(spec: str) -> None:
    with pytest.raises(UsageError, match="model folder"):
        open_engines([spec])


@pytest.mark.parametrize(
    "url", ["http://", "http://user:secret@host/v1", "http://host:99999/v1", "http://host/v1?key=1"]
)
def test_an_address_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_engines([f"{url}#model"])
    assert "secret" not in str(caught.value)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="missing"):
        open_engines([str(tmp_path)])


def test_a_key_that_is_not_in_the_environment_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(UsageError, match="SOME_KEY is not set"):
        open_engines([f"{SERVER}#model"], key_variable="SOME_KEY")
    monkeypatch.setenv("SOME_KEY", "abc")
    assert opened(f"{SERVER}#model", key_variable="SOME_KEY")


@in_virtual_time
async def test_an_engine_without_a_model_adds_and_is_right_more_often_than_not() -> None:
    engines = open_engines(["scripted:ant", "scripted:bee"])
    asked = [GenerateRequest(question=f"What is {n} + {2 * n}?") for n in range(40)]
    answers = [(await engines[NodeId("bee")].generate(each)).answer.strip() for each in asked]
    assert set(engines) == {"ant", "bee"}
    assert 20 < sum(answer == str(3 * n) for n, answer in enumerate(answers)) < 40


def test_a_sum_is_found_in_a_question_that_asks_for_one() -> None:
    assert sum_in("What is 17 + 25?") == "42"
    assert sum_in("What is love?") is None
