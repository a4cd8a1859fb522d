"""Peers that lie about one model alone: each is found out, and an honest one answers in its place."""

import asyncio

import pytest

from tests.swarm.solo_crowd import ASKED, TEXT, Lie, SoloCrowd, collected, generation, solo_crowd
from tests.virtual import in_virtual_time
from waggle.core.chat_values import Tool, ToolCall
from waggle.core.engine_values import Finish, GenerateRequest
from waggle.core.errors import EngineError, EngineRefused, MeshError
from waggle.core.failures import Cause, Failure
from waggle.engines.script import Script
from waggle.mesh.channel import SignedChannel
from waggle.mesh.messages import CannotGenerate, Embedded, Generated, Message, StillHere, Wrote
from waggle.node.services.mesh import MeshService

pytestmark = pytest.mark.timeout(300)

FAST = Script(name="bee", skill=1.0)


def wrote(text: str) -> Wrote:
    return Wrote(tokens=((text, -0.1),))


def saying(*messages: Message, for_ever: bool = False, pause: float = 0.0) -> Lie:
    """Says these, once or again and again."""

    async def say(channel: SignedChannel) -> None:
        while True:
            for message in messages:
                await channel.send(message)
                await asyncio.sleep(pause)
            if not for_ever:
                return

    return say


def made(text: str, **changed: object) -> Lie:
    """Writes "one", and gives this for what was made."""
    return saying(wrote("one"), Generated(generation=generation(text, **changed)))


async def silent(channel: SignedChannel) -> None:
    await asyncio.sleep(1000.0)


RM = ToolCall(id="1", name="rm", arguments="{}")
LIES = {
    "only beats": saying(StillHere(), for_ever=True, pause=2.0),
    "other text": made("two"),
    "foreign answer": made("one", answer="two"),
    "too many tokens": made("one", completion_tokens=65),
    "forged prompt tokens": made("one", prompt_tokens=2**30),
    "sure beyond measure": made("one", logprobs=(0.5,)),
    "calls without tools": saying(Generated(generation=generation("", tool_calls=(RM,), finish=Finish.TOOL_CALLS))),
    "ends with calls it does not make": saying(Generated(generation=generation("", finish=Finish.TOOL_CALLS))),
    "endless": saying(Wrote(tokens=(("", None),) * 256), for_ever=True),
    "endless text": saying(wrote("x" * 4096), for_ever=True),
    "vectors instead": saying(Embedded(vectors=((1.0,),))),
    "leaves": saying(StillHere()),
    "silent": silent,
}


async def _first_the_liar(crowd: SoloCrowd, service: MeshService) -> None:
    for node in crowd.nodes.values():
        service._lately.blame(node.id)


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
@in_virtual_time
async def test_a_peer_that_lies_is_found_out(lie: Lie) -> None:
    async with solo_crowd([None], liars=[lie]) as (_, service):
        with pytest.raises((MeshError, EngineError)):
            await collected(service.generate("bee", ASKED, 30.0))


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
@in_virtual_time
async def test_an_honest_peer_answers_in_place_of_a_liar(lie: Lie) -> None:
    async with solo_crowd([None, FAST], liars=[lie]) as (crowd, service):
        await _first_the_liar(crowd, service)
        text, end = await collected(service.generate("bee", ASKED, 60.0))
        assert text == end.text
        assert text.endswith(TEXT)
        assert end.answer == "5"


@pytest.mark.parametrize(
    ("name", "choice", "taken"),
    [
        ("weather", "auto", True),
        ("time", "required", True),
        ("time", "weather", False),
        ("weather", "none", False),
        ("rm", "auto", False),
        ("", "required", False),
        ("", "weather", False),
    ],
)
@in_virtual_time
async def test_a_stranger_calls_only_what_it_may_and_must(name: str, choice: str, taken: bool) -> None:
    calls = (ToolCall(id="1", name=name, arguments="{}"),) if name else ()
    finish = Finish.TOOL_CALLS if calls else Finish.STOP
    lie = saying(Generated(generation=generation("", tool_calls=calls, finish=finish)))
    asked = GenerateRequest(question="?", tools=(Tool(name="weather"), Tool(name="time")), tool_choice=choice)
    async with solo_crowd([None], liars=[lie]) as (_, service):
        if taken:
            assert (await collected(service.generate("bee", asked, 10.0)))[1].tool_calls == calls
        else:
            with pytest.raises(MeshError):
                await collected(service.generate("bee", asked, 10.0))


@in_virtual_time
async def test_an_honest_stranger_is_believed() -> None:
    async with solo_crowd([None], liars=[made("one", logprobs=(-0.1,))]) as (_, service):
        assert (await collected(service.generate("bee", ASKED, 30.0)))[0] == "one"


@in_virtual_time
async def test_text_behind_a_stop_string_is_not_taken() -> None:
    end = Generated(generation=generation("one END two", completion_tokens=2))
    writes_on = saying(wrote("one EN"), wrote("D two"), end)
    async with solo_crowd([None], liars=[writes_on]) as (_, service):
        asked = GenerateRequest(question="?", stop=("END",))
        with pytest.raises(MeshError):
            await collected(service.generate("bee", asked, 30.0))
        text, _ = await collected(service.generate("bee", GenerateRequest(question="?"), 30.0))
        assert text == "one END two"


@in_virtual_time
async def test_one_peer_alone_cannot_say_for_all_that_the_request_is_at_fault() -> None:
    refuses = saying(CannotGenerate(failure=Failure(Cause.REFUSED, "this cannot be answered")))
    async with solo_crowd([None, FAST], liars=[refuses]) as (crowd, service):
        await _first_the_liar(crowd, service)
        assert (await collected(service.generate("bee", ASKED, 30.0)))[0] == TEXT
    async with solo_crowd([None, FAST], liars=[refuses, refuses]) as (crowd, service):
        await _first_the_liar(crowd, service)
        with pytest.raises(EngineRefused):
            await collected(service.generate("bee", ASKED, 30.0))
        assert crowd.engines[1].calls == 0


@pytest.mark.parametrize(
    "vectors",
    [((1.0,), (1.0,), (1.0,)), ((2.0,), (1.0,)), ((1.0,), (0.6, 0.8)), ((), ()), ((0.0,), (1.0,))],
    ids=str,
)
@in_virtual_time
async def test_vectors_that_do_not_fit_the_texts_are_not_taken(vectors: tuple[tuple[float, ...], ...]) -> None:
    lie = saying(Embedded(vectors=tuple(vector or (1.0,) for vector in vectors)), Embedded(vectors=((1.0,),)))
    async with solo_crowd([None], liars=[lie]) as (_, service):
        if vectors == ((), ()):  # the honest case, so that this test can fail
            assert await service.embed("bee", ["a", "b"], 10.0) == [[1.0], [1.0]]
            return
        with pytest.raises(MeshError):
            await service.embed("bee", ["a", "b"], 10.0)
