"""A swarm behind a server: its abstention is no answer, and its confidence stands in for log-probabilities."""

from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from waggle.core.engine_values import Generation
from waggle.core.errors import EngineRefused
from waggle.engines.openai.engine import OpenAIHttpEngine
from waggle.engines.openai.settings import ServerSettings
from waggle.engines.openai.stream import StreamReader
from waggle.engines.openai.wire import Chunk, Model, read_as


class Whole(httpx.AsyncByteStream):
    """A body that comes at once."""

    def __init__(self, value: object) -> None:
        self.body = msgspec.json.encode(value)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.body


def read(*events: dict[str, object]) -> Generation:
    reader = StreamReader(prompt="?", max_tokens=99, stops=(), marker=None)
    for event in events:
        reader.feed(read_as(msgspec.json.encode(event), Chunk))
    generation = reader.end(1.0).generation
    assert generation is not None
    return generation


def said(content: str, **more: object) -> dict[str, object]:
    return {"choices": [{"delta": {"content": content}, **more}]}


def end(**more: object) -> dict[str, object]:
    return {"choices": [{"delta": {}, "finish_reason": "stop"}], **more}


def test_the_sentence_of_a_swarm_that_abstained_is_no_answer() -> None:
    sentence = said("The swarm abstained: it is not sure enough of any answer.")
    with pytest.raises(EngineRefused, match="abstained"):
        read(sentence, end(waggle={"abstained": True, "confidence": 0.01, "best_guess": "1"}))
    assert read(sentence, end(waggle={"abstained": False})).answer.startswith("The swarm abstained")


def test_a_note_that_comes_before_the_end_counts_as_well() -> None:
    with pytest.raises(EngineRefused, match="abstained"):
        read(said("4"), {"choices": [], "waggle": {"abstained": True}}, end())


def test_a_swarm_is_as_sure_as_it_says() -> None:
    assert read(said("42"), end(waggle={"abstained": False, "confidence": 0.9})).self_confidence == 0.9
    assert read(said("42"), end(waggle={"confidence": None})).self_confidence is None
    assert read(said("42"), end()).self_confidence is None


def test_log_probabilities_of_the_answer_come_before_what_a_server_says_of_itself() -> None:
    tokens = {"content": [{"token": "42", "logprob": -0.6931471805599453}]}
    assert read(said("42", logprobs=tokens), end(waggle={"confidence": 0.99})).self_confidence == pytest.approx(0.5)


@pytest.mark.parametrize("note", ["yes", [1], {"confidence": 7}, {"confidence": -0.1}, {"abstained": "no"}])
def test_a_note_of_another_shape_is_refused(note: object) -> None:
    with pytest.raises(EngineRefused, match="wrong shape"):
        read(said("42"), end(waggle=note))


@pytest.mark.parametrize("can", [True, False])
async def test_what_a_swarm_says_that_it_cannot_do_is_not_asked_of_it(can: bool) -> None:
    entry = {"id": "swarm", "waggle": {"converses": can, "calls_tools": can}}
    network = httpx.MockTransport(lambda request: httpx.Response(200, stream=Whole({"data": [entry]})))
    settings = ServerSettings(base_url="http://bees.test/v1", model="swarm")
    card = await OpenAIHttpEngine(settings, transport=network).describe()
    assert (card.converses, card.calls_tools) == (can, can)


def test_the_context_of_a_swarm_is_what_its_gateway_says() -> None:
    entry = {"id": "swarm", "object": "model", "waggle": {"strategy": "swarm", "context_tokens": 256, "family": None}}
    assert read_as(msgspec.json.encode(entry), Model).context_tokens() == 256
    assert read_as(b'{"id": "swarm", "waggle": {}}', Model).context_tokens() is None
