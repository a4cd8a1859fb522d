"""A server that keeps callers' prompts apart is told whose a prompt is, by a word that nobody can guess or read."""

import pytest

from tests.unit.engines.openai.test_engine import FORTY_TWO, PAIR, QUESTION, Network, engine_on
from waggle.core.carried import working_for
from waggle.core.errors import UsageError
from waggle.engines.openai.settings import PromptCache
from waggle.node.engines.server_spec import read_server_spec
from waggle.testing.clock import run_virtual

OWNERS = [("ann", ""), ("eve", ""), ("ann", "5eed"), ("", "")]


def bodies(cache: str) -> list[dict[str, object]]:
    """What the server is sent by each owner, twice, and then by each for a judgement."""
    network = Network(FORTY_TWO)

    async def scene() -> None:
        engine = engine_on(network, cache=cache)
        for asker, errand in OWNERS * 2:
            with working_for(asker, errand):
                await engine.generate(QUESTION)
        for asker, errand in OWNERS:
            with working_for(asker, errand):
                await engine.judge(PAIR)
        await engine.close()

    run_virtual(scene())
    return [network.body(index) for index in range(len(network.asked))]


def test_each_owner_has_a_salt_of_its_own_that_tells_no_name() -> None:
    sent = [str(body["cache_salt"]) for body in bodies("salted")]
    first, again, judging = sent[:4], sent[4:8], sent[8:]
    assert first == again == judging
    assert len({*first}) == 4
    assert all(len(salt) >= 43 and "ann" not in salt for salt in first)
    assert {body["cache_salt"] for body in bodies("salted")}.isdisjoint(first)  # another process, another secret


def test_reuse_can_be_turned_off_and_nothing_is_said_unless_asked_for() -> None:
    assert all(body["cache_prompt"] is False and "cache_salt" not in body for body in bodies("off"))
    assert all({"cache_prompt", "cache_salt"}.isdisjoint(body) for body in bodies("shared"))


def test_a_person_says_which_with_the_server() -> None:
    url = "http://127.0.0.1:9/v1#m"
    assert read_server_spec(url).cache is PromptCache.SHARED
    assert read_server_spec(f"{url}?cache=salted").cache is PromptCache.SALTED
    with pytest.raises(UsageError, match="cache should be one of shared, salted, off"):
        read_server_spec(f"{url}?cache=no")
