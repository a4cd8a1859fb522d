"""What the gateway costs: on top of a round, beside other proxies, and whether it stands a crowd.

Method. Every server is a process of its own; the clients are one process with raw sockets, which stay open. All share
the machine's cores. Overhead: the same questions, one at a time, in this process and through the gateway, each right
after the other. Side by side: our gateway, LiteLLM and OptiLLM in front of one stub, each measured for a moment in an
order drawn anew in every repeat. `METHODOLOGY.md` says more.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import islice
from random import Random
from time import perf_counter, process_time

import msgspec

from waggle.bench.gateway.http import OK, Crowd, Target, connect, run_crowd
from waggle.bench.gateway.load import Load, load_goals, load_row, run_load
from waggle.bench.gateway.processes import PYTHONS, Running, start_gateway, start_rival, start_stub, why_not
from waggle.bench.gateway.stub import MODEL
from waggle.bench.gateway.values import Matching, Pairs, crowd_row, questions, ratio_row
from waggle.bench.report import Goal, Report, Row, at_least, at_most, number, report
from waggle.core.asking import AskOptions
from waggle.core.errors import PeerUnreachable, UsageError
from waggle.node.engines.opening import open_engines
from waggle.node.rounds.swarm import Swarm
from waggle.node.services.local import make_local_service
from waggle.node.services.service import Service

ENGINES = tuple(f"scripted:{name}" for name in ("ash", "birch", "cedar", "elm", "fir", "hazel", "larch"))
CROWDS = (1, 16, 256)
QUESTIONS, WARM_UP, REPEATS, SECONDS = 300, 20, 5, 2.0
LOAD_REQUESTS, LOAD_CLIENTS = 10_000, 256
ADDED_GOAL, AHEAD_GOAL = 3.0, 1.0
ROUND = "a round of seven"
DIRECT, OURS = "the stub alone", "waggle"
EXTRA = ',"waggle":{"min_confidence":0}'

Progress = Callable[[str], None]


@dataclass(frozen=True)
class GatewayBench:
    """How much is measured; `seconds` is one measurement's length, `load` the requests of each load run, 0 for none."""

    questions: int = QUESTIONS
    repeats: int = REPEATS
    seconds: float = SECONDS
    load: int = LOAD_REQUESTS
    clients: tuple[int, ...] = CROWDS


def run_gateway_bench(
    seed: int, bench: GatewayBench | None = None, *, on_progress: Progress = lambda _: None
) -> Report:
    """Run the suite; about six minutes with the default settings.

    Args:
        seed: of the rounds, of the order of measurements, and of the bootstrap.
        bench: how much to measure.
        on_progress: told in words how far it is.

    Raises:
        UsageError: a number is too small.
        PeerUnreachable: a server did not start, or the gateway failed to answer one client.
    """
    chosen = bench or GatewayBench()
    if chosen.questions < 2 or chosen.repeats < 2 or chosen.seconds <= 0 or chosen.load < 0:
        raise UsageError("the bench needs 2 questions and 2 repeats of some time, and a load from 0")
    return asyncio.run(_Run(seed, chosen, on_progress).measure())


class _Run:
    def __init__(self, seed: int, bench: GatewayBench, on_progress: Progress) -> None:
        self._seed, self._bench, self._tell = seed, bench, on_progress
        self._random = Random(seed)
        self._fresh = questions(1)
        self._loads: list[Load] = []

    async def measure(self) -> Report:
        rows, goals = await self._rounds()
        more_rows, more_goals = await self._side_by_side()
        loads = [load_row(load) for load in self._loads]
        load_found = [goal for load in self._loads for goal in load_goals(load)]
        return report("gateway", self._seed, rows + more_rows + loads, goals + more_goals + load_found)

    # --- rounds -------------------------------------------------------------------------------------------------------

    async def _rounds(self) -> tuple[list[Row], list[Goal]]:
        async with start_gateway(ENGINES) as gateway:
            target = Target(gateway.url, "swarm", f',"seed":{self._seed}{EXTRA}')
            rows = (await self._overhead(target, gateway)).rows(self._seed)
            self._tell(f"a round through the gateway takes {number(rows[-1]['p50_ms']):.1f} ms more")
            goals = [at_most("added to a round by the gateway, median", number(rows[-1]["p50_ms"]), ADDED_GOAL, " ms")]
            for clients in self._bench.clients:
                crowds = [await self._crowd(target, clients, echo=False) for _ in range(self._bench.repeats)]
                rows.append(crowd_row(ROUND, clients, crowds))
                self._tell(f"{clients} clients: {number(rows[-1]['requests_per_second'] or 0):.0f} rounds a second")
            if self._bench.load:
                await self._load(f"{ROUND}, load", target, gateway, Matching(echo=False))
        return rows, goals

    async def _overhead(self, target: Target, gateway: Running) -> Pairs:
        """Each question here and through the gateway; which comes first takes turns."""
        service = await make_local_service(Swarm(open_engines(ENGINES)))
        try:
            await self._both(service, target, gateway, list(islice(self._fresh, WARM_UP)))
            return await self._both(service, target, gateway, list(islice(self._fresh, self._bench.questions)))
        finally:
            await service.close()

    async def _both(self, service: Service, target: Target, gateway: Running, asked: Sequence[str]) -> Pairs:
        connection = await connect(target.url)
        options = AskOptions(seed=self._seed, min_confidence=0.0)
        pairs, before = Pairs(), gateway.cpu_seconds()

        async def inside(question: str) -> None:
            began, cpu = perf_counter(), process_time()
            await service.ask(question, options)
            pairs.inside.append(1000 * (perf_counter() - began))
            pairs.inside_cpu_seconds += process_time() - cpu

        async def through(question: str) -> None:
            began = perf_counter()
            reply = await connection.ask(target.request(question))
            pairs.through.append(1000 * (perf_counter() - began))
            if reply.status != OK:
                raise PeerUnreachable(f"the gateway answered {reply.status}: {reply.body[:200]!r}")

        for index, question in enumerate(asked):
            for ask in (through, inside) if index % 2 else (inside, through):
                await ask(question)
        connection.close()
        pairs.through_cpu_seconds = gateway.cpu_seconds() - before
        return pairs

    async def _crowd(self, target: Target, clients: int, *, echo: bool) -> Crowd:
        return await run_crowd(target, self._fresh, clients, Matching(echo=echo), self._bench.seconds)

    async def _load(self, name: str, target: Target, gateway: Running, check: Matching) -> None:
        asked = islice(self._fresh, self._bench.load)
        self._loads.append(await run_load(name, target, gateway, asked, LOAD_CLIENTS, check))
        self._tell(f"{name}: {self._loads[-1].crowd.per_second:.0f} requests a second")

    # --- beside others ------------------------------------------------------------------------------------------------

    async def _side_by_side(self) -> tuple[list[Row], list[Goal]]:
        async with AsyncExitStack() as stack:
            stub = await stack.enter_async_context(start_stub())
            gateway = await stack.enter_async_context(start_gateway([f"{stub.url}#{MODEL}"]))
            targets = {DIRECT: Target(stub.url, MODEL), OURS: Target(gateway.url, f"solo/{MODEL}")}
            for name in PYTHONS:
                if not why_not(name):
                    rival = await stack.enter_async_context(start_rival(name, stub.url))
                    targets[name] = Target(rival.url, MODEL)
            self._tell(f"up: {', '.join(targets)}")
            found = await self._compare(targets)
            if self._bench.load:
                name = "solo in front of the stub, load"
                before = await _asked_of(stub)
                await self._load(name, targets[OURS], gateway, Matching(echo=True))
                self._loads[-1].upstream = await _asked_of(stub) - before
        return self._rows(found), self._goals(found)

    async def _compare(self, targets: Mapping[str, Target]) -> dict[tuple[str, int], list[Crowd]]:
        found: dict[tuple[str, int], list[Crowd]] = {
            (name, clients): [] for clients in self._bench.clients for name in targets
        }
        for target in targets.values():
            await self._crowd(target, 4, echo=True)
        for repeat in range(self._bench.repeats):
            for clients in self._bench.clients:
                for name in self._random.sample(list(targets), len(targets)):
                    found[name, clients].append(await self._crowd(targets[name], clients, echo=True))
            self._tell(f"side by side: repeat {repeat + 1} of {self._bench.repeats}")
        return found

    def _rows(self, found: Mapping[tuple[str, int], Sequence[Crowd]]) -> list[Row]:
        rows = [crowd_row(name, clients, crowds) for (name, clients), crowds in found.items()]
        rows += [crowd_row(name, 0, [], why) for name in PYTHONS if (why := why_not(name))]
        return rows + [self._ratio(found, name, clients) for name, clients in found if name in PYTHONS]

    def _ratio(self, found: Mapping[tuple[str, int], Sequence[Crowd]], name: str, clients: int) -> Row:
        return ratio_row(name, clients, found[OURS, clients], found[name, clients], self._seed)

    def _goals(self, found: Mapping[tuple[str, int], Sequence[Crowd]]) -> list[Goal]:
        return [
            at_least(
                f"requests per second at {clients} clients, ours over {name}'s",
                number(self._ratio(found, name, clients)["times_as_many"]),
                AHEAD_GOAL,
                " x",
            )
            for name, clients in found
            if name in PYTHONS
        ]


async def _asked_of(stub: Running) -> int:
    connection = await connect(stub.url)
    reply = await connection.ask(b"GET /v1/counts HTTP/1.1\r\nhost: stub\r\n\r\n")
    connection.close()
    return msgspec.json.decode(reply.body, type=dict[str, int])["asked"]
