"""For whom the engines of a swarm work: the key at the gateway's own node, asker and request at every other node."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from msgspec.structs import replace

from tests.swarm.crowd import QUESTIONS, TRUTH
from tests.swarm.mesh_crowd import make_client, make_mesh
from tests.swarm.solo_crowd import collected, solo_crowd
from tests.virtual import in_virtual_time
from waggle.core.asking import AskOptions
from waggle.core.carried import NOBODY, Owner, owner, working_for
from waggle.core.engine_values import GenerateRequest, Generation, Judgement, JudgeRequest, Sampling, StreamedToken
from waggle.core.ids import NodeId
from waggle.core.round_effects import AskProposal, Brief
from waggle.engines.script import Script
from waggle.engines.scripted import ScriptedEngine
from waggle.node.peers.client import request_of
from waggle.node.rounds.admission import Admission
from waggle.node.rounds.work import NodeWork
from waggle.testing.clock import VirtualClock

NAMES = ("ant", "bee", "cat")
ANN, EVE = NodeId("ann"), NodeId("eve")


class Noting(ScriptedEngine):
    """Notes for whom it works."""

    def __init__(self, script: Script) -> None:
        super().__init__(script, TRUTH, clock=VirtualClock())
        self.seen: set[Owner] = set()
        self.streamed: set[Owner] = set()

    async def generate(self, request: GenerateRequest) -> Generation:
        self.seen.add(owner())
        return await super().generate(request)

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamedToken, None]:
        self.streamed.add(owner())
        async with aclosing(super().stream(request)) as tokens:
            async for token in tokens:
                yield token

    async def judge(self, request: JudgeRequest) -> Judgement:
        self.seen.add(owner())
        return await super().judge(request)


@in_virtual_time
async def test_keys_are_told_apart_at_their_gateway_and_requests_everywhere() -> None:
    engines = [Noting(Script(name=name, seed=seed)) for seed, name in enumerate(NAMES)]
    requests = {"key-of-ann": "a" * 32, "key-of-eve": "e" * 32}
    async with solo_crowd(engines) as (crowd, service):
        for key, request in requests.items():
            with working_for(key):
                await service.ask(QUESTIONS[7], AskOptions(), None, request)
                for model in ("ant", "bee"):
                    await collected(service.generate(model, GenerateRequest(question=QUESTIONS[8]), 30.0, request))
    gateway = crowd.nodes[0].id
    assert engines[0].seen == {Owner(key) for key in requests}
    for engine in engines[1:]:
        assert engine.seen == {Owner(gateway, request) for request in requests.values()}
    assert engines[0].streamed == engines[0].seen
    assert engines[1].streamed == engines[1].seen


@in_virtual_time
async def test_a_stranger_with_anothers_request_id_and_question_has_a_round_of_its_own() -> None:
    nodes = await make_mesh([Script(name=name, skill=1.0, seconds_per_call=2.0) for name in NAMES])
    (ann, _), (eve, _) = [await make_client(nodes) for _ in range(2)]
    asked = request_of(QUESTIONS[5], AskOptions())
    first = asyncio.create_task(ann.ask([nodes[0].id], asked))
    await asyncio.sleep(1.0)
    second = await eve.ask([nodes[0].id], asked)
    assert (await first).events != second.events
    assert len(nodes[0].questions._known) == 2


@in_virtual_time
async def test_half_of_the_name_of_a_piece_of_work_gives_nothing_of_it() -> None:
    engine = Noting(Script(name="ant", skill=1.0))
    work = NodeWork({"ant": engine}, Admission(capacity=4, queue=8, queue_per_asker=8))
    ask = AskProposal(node=NodeId("n"), sampling=Sampling(), brief=Brief(question=QUESTIONS[5], max_tokens=64))
    await work.propose(ANN, "a" * 32, ask)
    assert work.answered == 1
    await work.propose(EVE, "e" * 32, ask)  # the question without the request id
    assert work.answered == 2
    await work.propose(EVE, "a" * 32, replace(ask, brief=replace(ask.brief, question=QUESTIONS[6])))
    assert work.answered == 3
    await work.propose(EVE, "a" * 32, ask)  # both: as the next coordinator, where the first one died
    assert work.answered == 3
    assert engine.seen == {NOBODY}
