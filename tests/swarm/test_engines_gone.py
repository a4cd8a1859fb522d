"""An engine that dies while its node lives on: the node says so, and the swarm goes on without that model."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from msgspec.structs import replace

from tests.swarm.solo_crowd import ASKED, TEXT, collected, solo_crowd, truth
from tests.virtual import in_virtual_time
from waggle.core.asking import AskOptions
from waggle.core.chat_values import Role, Turn
from waggle.core.engine_values import EngineCard
from waggle.core.errors import EngineUnavailable
from waggle.engines.script import Crasher, Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.network.mesh_node import MeshNode
from waggle.node.services.mesh import MeshService
from waggle.testing.clock import VirtualClock

SOON = 60.0
TURNS = (Turn(role=Role.SYSTEM, content="Be short."), Turn(role=Role.USER, content="2 + 3"))


class Mortal(ScriptedEngine):
    """An engine that is there or not."""

    def __init__(self, *, alive: bool = True, deaf: bool = False, tool: str | None = None) -> None:
        super().__init__(Script(name="bee", skill=1.0, tool_call=tool), truth, clock=VirtualClock())
        self.whole = self.script
        self.deaf = deaf
        self.turn(alive)

    def turn(self, alive: bool) -> None:
        self.script = self.whole if alive else replace(self.whole, conduct=Crasher())
        self.alive = alive

    async def describe(self) -> EngineCard:
        if not self.alive:
            raise EngineUnavailable("http://10.0.0.7/v1 cannot be reached")
        return replace(await super().describe(), converses=not self.deaf)


@asynccontextmanager
async def two_nodes(first: Mortal, second: Mortal) -> AsyncIterator[tuple[MeshNode, MeshNode]]:
    """Nodes that know each other, both with the model."""
    async with solo_crowd([first, second]) as (crowd, _):
        await until(lambda: bool(crowd.nodes[1].membership.usable()))
        yield crowd.nodes[0], crowd.nodes[1]


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not reached():  # noqa: ASYNC110 - nodes do not tell
            await asyncio.sleep(0.5)


@in_virtual_time
async def test_a_model_whose_engine_is_gone_is_offered_to_nobody_until_it_is_back() -> None:
    engine = Mortal()
    async with two_nodes(engine, Mortal()) as nodes:
        [seen] = nodes[1].membership.usable()
        assert [offer.model for offer in seen.advert.offers] == ["bee"]
        engine.turn(False)
        await until(lambda: not nodes[1].membership.usable()[0].advert.offers)
        assert nodes[0].offers == ()
        engine.turn(True)
        await until(lambda: bool(nodes[1].membership.usable()[0].advert.offers))


@in_virtual_time
async def test_a_node_whose_engine_is_gone_tells_so_and_has_others_write_and_answer() -> None:
    engine = Mortal()
    async with two_nodes(engine, Mortal()) as nodes:
        service = MeshService(nodes[0])
        engine.turn(False)
        assert (await collected(service.generate("bee", ASKED, 60.0)))[0] == TEXT  # before anybody has looked
        await until(lambda: nodes[0].offers == ())
        [model] = service.models()
        assert (model.usable, model.nodes) == (True, (nodes[1].id,))
        assert model.down == {nodes[0].id: "its server cannot be reached"}
        record = await service.ask("2 + 3", AskOptions())
        assert {standing.node for standing in record.plan.proposers} == {nodes[1].id}
        assert record.outcome.answer == "5"


@in_virtual_time
async def test_a_node_starts_without_its_engine_and_offers_it_later() -> None:
    engine = Mortal(alive=False)
    async with two_nodes(engine, Mortal(alive=False)) as nodes:
        services = [MeshService(node) for node in nodes]
        assert not any(model.usable for service in services for model in service.models())
        engine.turn(True)
        await until(lambda: services[1].models()[0].usable)
        assert (await collected(services[1].generate("bee", ASKED, 60.0)))[0] == TEXT


@in_virtual_time
async def test_what_a_model_can_do_is_known_to_other_nodes() -> None:
    async with two_nodes(Mortal(deaf=True), Mortal(deaf=True, tool="add")) as nodes:
        offers = [node.membership.usable()[0].advert.offers[0] for node in nodes]
        assert [(offer.converses, offer.calls_tools) for offer in offers] == [(False, True), (False, False)]
        [model] = MeshService(nodes[0]).models()
        assert (model.converses, model.calls_tools) == (False, False)  # not at every node that has it


@in_virtual_time
async def test_a_conversation_is_for_nodes_that_read_one() -> None:
    async with two_nodes(Mortal(deaf=True), Mortal()) as nodes:
        service = MeshService(nodes[0])
        plan = (await service.ask("2 + 3", AskOptions(turns=TURNS))).plan
        assert {standing.node for standing in (*plan.proposers, *plan.judges)} == {nodes[1].id}
        assert len((await service.ask("2 + 3", AskOptions())).plan.proposers) == 2
