"""A server's address says which model, and what the server itself cannot tell; anything unclear is refused."""

import pytest

from waggle.core.errors import UsageError
from waggle.engines.openai.settings import ServerSettings
from waggle.node.engines.server_spec import read_server_spec

URL = "http://127.0.0.1:9/v1"


def test_a_bare_address_and_model_leave_everything_else_as_it_is() -> None:
    assert read_server_spec(f"{URL}#qwen3:8b") == ServerSettings(base_url=URL, model="qwen3:8b")


def test_a_model_may_be_a_path_and_the_key_is_only_named() -> None:
    settings = read_server_spec(f"{URL}#meta-llama/llama-3.3:free", key_variable="KEY")
    assert (settings.model, settings.key_variable) == ("meta-llama/llama-3.3:free", "KEY")


def test_what_the_server_cannot_tell_stands_behind_the_model() -> None:
    spec = f"{URL}#sage?marker=%0AAnswer:&context=256&family=llama&embeddings=small&instructions=Be%20brief%26true."
    assert read_server_spec(spec) == ServerSettings(
        base_url=URL,
        model="sage",
        answer_marker="\nAnswer:",
        context_tokens=256,
        family="llama",
        embedding_model="small",
        instructions="Be brief&true.",
    )


@pytest.mark.parametrize("spec", [URL, f"{URL}#", f"{URL}#?marker=A"])
def test_an_address_without_a_model_is_refused(spec: str) -> None:
    with pytest.raises(UsageError, match="which model of"):
        read_server_spec(spec)


@pytest.mark.parametrize(
    "query",
    [
        "marker",
        "marker=A&marker=B",
        "key=sk-secret",
        "base_url=http://evil",
        "context=9&x=1",
        "a=1&b=2&c=3&d=4&e=5&f=6&g=7&h=8&i=9",
    ],
)
def test_options_that_are_unknown_twice_there_or_unreadable_are_refused(query: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_server_spec(f"{URL}#sage?{query}")
    assert "marker, instructions, context, embeddings, family" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("context", ["0", "-1", "1e3", "16777217", "9" * 5_000, "२५६", "none"])
def test_a_context_that_is_no_number_of_tokens_is_refused(context: str) -> None:
    with pytest.raises(UsageError, match="context should be"):
        read_server_spec(f"{URL}#sage?context={context}")


def test_what_a_server_s_model_cannot_do_is_said_by_yes_or_no() -> None:
    assert read_server_spec(f"{URL}#sage?tools=no&turns=no") == ServerSettings(
        base_url=URL, model="sage", tools=False, turns=False
    )
    assert read_server_spec(f"{URL}#sage?tools=yes&turns=yes") == ServerSettings(base_url=URL, model="sage")


@pytest.mark.parametrize("query", ["tools=maybe", "turns=No", "tools=0"])
def test_anything_but_yes_or_no_is_refused(query: str) -> None:
    with pytest.raises(UsageError, match="yes or no"):
        read_server_spec(f"{URL}#sage?{query}")
