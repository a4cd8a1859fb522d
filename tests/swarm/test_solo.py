"""One model alone over a simulated network: wherever it is, whoever dies, whoever lies."""

import asyncio
from contextlib import aclosing
from itertools import pairwise

import pytest
from msgspec.structs import replace

from tests.swarm.solo_crowd import ASKED, SLOW, TEXT, collected, solo_crowd
from tests.unit.mesh.adverts.making import make_key
from tests.virtual import in_virtual_time
from waggle.core.asking import AskOptions
from waggle.core.chat_values import Role, Tool, Turn
from waggle.core.engine_values import Finish, GenerateRequest, Sampling
from waggle.core.errors import EngineError, EngineRefused, EngineUnavailable, MeshError, PeerBusy, UsageError
from waggle.engines.script import Crasher, Hanger, Script

pytestmark = pytest.mark.timeout(300)

FAST = Script(name="bee", skill=1.0)


@in_virtual_time
async def test_a_node_without_the_model_has_a_peer_write() -> None:
    async with solo_crowd([None, SLOW]) as (crowd, service):
        text, made = await collected(service.generate("bee", ASKED, 60.0))
        assert text == made.text == TEXT
        assert made.answer == "5"
        assert crowd.at_work == []
        assert crowd.nodes[1].load.running == 0


@in_virtual_time
async def test_tokens_come_one_by_one_as_they_are_written() -> None:
    async with solo_crowd([None, SLOW]) as (_, service):
        loop = asyncio.get_running_loop()
        started = loop.time()
        times = [loop.time() - started async for token in service.generate("bee", ASKED, 60.0) if token.text]
    assert len(times) == 9
    assert times[0] < 0.6
    assert all(0.4 < after - before < 0.6 for before, after in pairwise(times))


@in_virtual_time
async def test_the_own_engine_writes_where_it_has_the_model() -> None:
    async with solo_crowd([SLOW, SLOW]) as (crowd, service):
        await collected(service.generate("bee", ASKED, 60.0))
        assert (crowd.engines[0].calls, crowd.engines[1].calls) == (1, 0)


@in_virtual_time
async def test_a_full_node_has_a_peer_write() -> None:
    async with solo_crowd([SLOW, SLOW], capacity=1) as (crowd, service):
        await asyncio.gather(*(collected(service.generate("bee", ASKED, 60.0)) for _ in range(2)))
        assert (crowd.engines[0].calls, crowd.engines[1].calls) == (1, 1)


@in_virtual_time
async def test_requests_of_one_moment_are_spread_over_the_peers() -> None:
    async with solo_crowd([None, SLOW, SLOW, SLOW]) as (crowd, service):
        await asyncio.gather(*(collected(service.generate("bee", ASKED, 60.0)) for _ in range(6)))
        assert [engine.calls for engine in crowd.engines.values()] == [2, 2, 2]


@pytest.mark.parametrize("after", [0, 1, 4, 7])
@in_virtual_time
async def test_a_node_killed_while_it_writes_does_not_break_the_text(after: int) -> None:
    async with solo_crowd([None, SLOW, SLOW]) as (crowd, service):
        said = []
        async with aclosing(service.generate("bee", ASKED, 60.0)) as tokens:
            async for token in tokens:
                said.append(token)
                if len(said) == after + 1:
                    [writer] = crowd.at_work
                    crowd.kill(writer)
        assert "".join(token.text for token in said) == TEXT
        assert said[-1].generation is not None
        assert said[-1].generation.text == TEXT
        assert crowd.engines[1].calls + crowd.engines[2].calls == 2


@in_virtual_time
async def test_a_sampled_text_is_gone_on_with_by_its_seed() -> None:
    asked = GenerateRequest(question="2 + 3", max_tokens=64, sampling=Sampling(temperature=0.7, seed=5))
    async with solo_crowd([None, SLOW, SLOW]) as (crowd, service):
        text = ""
        async for token in service.generate("bee", asked, 60.0):
            text += token.text
            if text == "I worked":
                crowd.kill(crowd.at_work[0])
        assert text == TEXT


@in_virtual_time
async def test_a_node_cut_off_from_the_network_is_replaced_within_seconds() -> None:
    async with solo_crowd([None, SLOW, SLOW]) as (crowd, service):
        text, started = "", asyncio.get_running_loop().time()
        async for token in service.generate("bee", ASKED, 60.0):
            text += token.text
            if text == "I worked":
                lonely = {make_key(crowd.at_work[0]).node_id}
                others = {make_key(number).node_id for number in crowd.nodes} - lonely
                crowd.network.partition(others, lonely)
        assert text == TEXT
        assert asyncio.get_running_loop().time() - started < 20.0


@in_virtual_time
async def test_another_text_of_the_next_node_begins_anew_behind_an_empty_line() -> None:
    wrong = Script(name="bee", skill=0.0, seconds_per_token=0.5, answer_marker="So:")
    async with solo_crowd([None, SLOW]) as (crowd, service):
        text = ""
        async with aclosing(service.generate("bee", ASKED, 60.0)) as tokens:
            async for token in tokens:
                text += token.text
                if text == "I worked it out step by step.\nAnswer:":
                    await crowd.add(2, wrong)
                    await crowd.service()
                    crowd.kill(1)
    assert text.startswith("I worked it out step by step.\nAnswer:\n\nI worked it out step by step.\nSo: ")


@in_virtual_time
async def test_a_stream_that_is_closed_stops_the_engine_far_away() -> None:
    async with solo_crowd([None, SLOW]) as (crowd, service):
        async with aclosing(service.generate("bee", ASKED, 60.0)) as tokens:
            await anext(tokens)
            assert crowd.at_work == [1]
        await asyncio.sleep(0.2)
        assert crowd.at_work == []
        assert crowd.nodes[1].load.running == 0


@in_virtual_time
async def test_a_cancelled_call_stops_the_engine_far_away() -> None:
    async with solo_crowd([None, SLOW]) as (crowd, service):
        task = asyncio.create_task(collected(service.generate("bee", ASKED, 60.0)))
        await asyncio.sleep(1.0)
        assert crowd.at_work == [1]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.2)
        assert crowd.at_work == []


@in_virtual_time
async def test_full_nodes_say_so_at_once() -> None:
    async with solo_crowd([None, SLOW, SLOW], capacity=1, queue=0) as (crowd, service):
        busy = [asyncio.create_task(collected(service.generate("bee", ASKED, 60.0))) for _ in range(2)]
        await asyncio.sleep(0.5)
        started = asyncio.get_running_loop().time()
        with pytest.raises(PeerBusy) as caught:
            await collected(service.generate("bee", ASKED, 60.0))
        assert caught.value.retry_after is not None
        assert asyncio.get_running_loop().time() - started < 1.0
        await asyncio.gather(*busy)
        assert (crowd.engines[1].calls, crowd.engines[2].calls) == (1, 1)


@in_virtual_time
async def test_a_node_that_hangs_is_given_up_while_another_one_can_write() -> None:
    async with solo_crowd([None, Script(name="bee", conduct=Hanger()), FAST]) as (crowd, service):
        service._lately.blame(make_key(2).node_id)  # so that the one that hangs is asked first
        started = asyncio.get_running_loop().time()
        text, _ = await collected(service.generate("bee", ASKED, 60.0))
        assert text == TEXT
        assert asyncio.get_running_loop().time() - started < 25.0
        await asyncio.sleep(0.5)
        assert crowd.at_work == []


@in_virtual_time
async def test_the_time_is_a_bound_where_nobody_else_can_write() -> None:
    async with solo_crowd([None, Script(name="bee", conduct=Hanger())]) as (crowd, service):
        started = asyncio.get_running_loop().time()
        with pytest.raises(MeshError):
            await collected(service.generate("bee", ASKED, 12.0))
        assert asyncio.get_running_loop().time() - started == pytest.approx(12.0, abs=1.2)
        await asyncio.sleep(0.5)
        assert crowd.at_work == []


@in_virtual_time
async def test_an_engine_that_crashes_is_replaced_and_tried_last_for_a_while() -> None:
    async with solo_crowd([Script(name="bee", conduct=Crasher()), FAST]) as (crowd, service):
        for _ in range(3):
            assert (await collected(service.generate("bee", ASKED, 60.0)))[0] == TEXT
        assert (crowd.engines[0].calls, crowd.engines[1].calls) == (1, 3)


@in_virtual_time
async def test_a_crash_everywhere_is_an_engine_error() -> None:
    dead = Script(name="bee", conduct=Crasher())
    async with solo_crowd([dead, dead, dead]) as (_, service):
        with pytest.raises(EngineUnavailable):
            await collected(service.generate("bee", ASKED, 60.0))


@in_virtual_time
async def test_a_model_that_nobody_has_is_named_with_those_there_are() -> None:
    async with solo_crowd([None, SLOW]) as (_, service):
        with pytest.raises(UsageError, match="no model 'wasp' in this swarm; there are bee"):
            await collected(service.generate("wasp", ASKED, 60.0))
        with pytest.raises(UsageError, match="bee"):
            await service.embed("wasp", ["a"], 5.0)


@in_virtual_time
async def test_what_no_node_takes_is_the_callers_fault() -> None:
    async with solo_crowd([None, SLOW]) as (_, service):
        for asked in (
            GenerateRequest(question="?", max_tokens=0),
            GenerateRequest(question="?", sampling=Sampling(temperature=1e9)),
            GenerateRequest(question="?" * 70_000),
            GenerateRequest(question="\ud800"),
        ):
            with pytest.raises((UsageError, EngineError)):
                await collected(service.generate("bee", asked, 60.0))


@in_virtual_time
async def test_models_of_all_nodes_are_listed_by_name_and_a_node_goes_by_its_id_too() -> None:
    async with solo_crowd([SLOW, Script(name="ant"), SLOW]) as (crowd, service):
        listed = service.models()
        assert [model.name for model in listed] == ["ant", "bee"]
        assert listed[1].nodes == (crowd.nodes[0].id, crowd.nodes[2].id)
        assert listed[1].context_tokens == 4096
        assert len(service.peers()) == 2
        await collected(service.generate(crowd.nodes[2].id, ASKED, 60.0))
        assert (crowd.engines[0].calls, crowd.engines[2].calls) == (0, 1)


@in_virtual_time
async def test_the_swarm_is_asked_through_the_same_service() -> None:
    async with solo_crowd([FAST, Script(name="ant", skill=1.0)]) as (_, service):
        record = await service.ask("2 + 3", AskOptions(min_confidence=0.0), None, "ab" * 16)
        assert (record.plan.round_id, record.outcome.answer) == ("ab" * 16, "5")
        assert service.load.running == 0


@in_virtual_time
async def test_a_tool_is_called_far_away() -> None:
    tools = (Tool(name="weather"), Tool(name="time"))
    caller = Script(name="bee", skill=1.0, tool_call="weather", tool_arguments='{"place": "hive"}')
    async with solo_crowd([None, caller]) as (_, service):
        for choice in ("auto", "required", "weather"):
            asked = GenerateRequest(question="2 + 3", tools=tools, tool_choice=choice)
            text, made = await collected(service.generate("bee", asked, 30.0))
            assert (text, made.finish) == ("", Finish.TOOL_CALLS)
            assert [(call.name, call.arguments) for call in made.tool_calls] == [("weather", '{"place": "hive"}')]
        asked = GenerateRequest(question="2 + 3", tools=tools, tool_choice="none")
        assert (await collected(service.generate("bee", asked, 30.0)))[0] == TEXT
        with pytest.raises(EngineRefused):
            await collected(service.generate("bee", replace(asked, tool_choice="time"), 30.0))


@in_virtual_time
async def test_a_conversation_is_read_far_away() -> None:
    turns = (Turn(role=Role.SYSTEM, content="Be brief."), Turn(role=Role.USER, content="2 + 3"))
    async with solo_crowd([None, FAST]) as (crowd, service):
        asked = replace(ASKED, turns=turns)
        await collected(service.generate("bee", asked, 30.0))
        assert list(crowd.engines[1].asked)[-1] == asked
        long = tuple(Turn(role=Role.USER, content="x" * 300_000) for _ in range(2))
        with pytest.raises(UsageError, match="512 KiB"):
            await collected(service.generate("bee", replace(ASKED, turns=long), 30.0))


# --- embeddings -----------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_texts_are_embedded_by_a_peer_in_their_order() -> None:
    texts = [f"bee number {number}" for number in range(150)]
    async with solo_crowd([None, FAST]) as (crowd, service):
        vectors = await service.embed("bee", texts, 30.0)
        assert vectors == await crowd.engines[1].embed(texts)
        assert await service.embed("bee", [], 30.0) == []


@in_virtual_time
async def test_a_node_that_cannot_embed_is_replaced() -> None:
    async with solo_crowd([Script(name="bee", conduct=Crasher()), FAST]) as (crowd, service):
        assert len(await service.embed("bee", ["a", "b"], 30.0)) == 2
        assert crowd.engines[0].calls == 1
