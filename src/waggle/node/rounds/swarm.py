"""A swarm inside one process: named engines and what was measured of them; ask it a question, get a record."""

from collections.abc import Mapping, Sequence

from waggle.core.asking import AskOptions
from waggle.core.errors import UsageError
from waggle.core.ids import NodeId
from waggle.core.round_values import Plan, Record
from waggle.engines.protocol import Engine
from waggle.node.calibration import Calibration
from waggle.node.clock import Clock, SystemClock
from waggle.node.engines.watch import reads_conversations, trouble_of
from waggle.node.rounds.admission import Admission
from waggle.node.rounds.coordinator import Available, CommitteeSize, Coordinator
from waggle.node.rounds.runner import RoundRunner
from waggle.node.rounds.work import NodeWork, Worker
from waggle.strategies.machine import Watch
from waggle.strategies.ways import begin

HERE = NodeId("here")
"""Who asks, where all is in one process."""
UNBOUNDED = 2**31  # pieces of work at once: an engine of this process has a queue of its own


class Swarm:
    """Engines by node name, and their calibration if there is one. Every engine is a node of its own."""

    size: CommitteeSize | None = None

    def __init__(
        self, engines: Mapping[NodeId, Engine], calibration: Calibration | None = None, clock: Clock | None = None
    ) -> None:
        if not engines:
            raise UsageError("a swarm needs at least one engine")
        self.engines = dict(engines)
        self.works = {node: _work(node, engine) for node, engine in engines.items()}
        known = calibration is not None and any(node in calibration.nodes for node in engines)
        self.calibration = calibration if known else None  # of other nodes it says nothing, and nobody would count
        self.clock = clock or SystemClock()
        self._coordinator = Coordinator(self, self.calibration, self.clock)

    async def ask(
        self, question: str, options: AskOptions | None = None, watch: Watch | None = None, request: str | None = None
    ) -> Record:
        """Answer one question; errors as those of `Coordinator.ask`."""
        return await self._coordinator.ask(question, options, watch, request)

    def plan(self, question: str, options: AskOptions, request: str | None = None) -> Plan:
        """Fix everything that decides how the round goes."""
        return self._coordinator.plan(question, options, request)

    async def close(self) -> None:
        """Close every engine."""
        for engine in self.engines.values():
            await engine.close()

    # --- as the party of its rounds ---

    def available(self, max_tokens: int) -> Sequence[Available]:
        """Whose engines work, as far as is known; all where none does."""
        nodes = [node for node, engine in self.engines.items() if not trouble_of(engine)] or list(self.engines)
        return [
            Available(node=node, model=node, converses=reads_conversations(self.engines[node]), trusted=True)
            for node in nodes
        ]

    def worker(self, node: NodeId, plan: Plan) -> Worker:
        """One engine's part in a round."""
        return self.works[node].worker(HERE, plan.round_id, commits=plan.commit_reveal)

    def note(self, record: Record) -> None:
        """Nothing is learnt from a round."""


def _work(node: NodeId, engine: Engine) -> NodeWork:
    return NodeWork({node: engine}, Admission(capacity=UNBOUNDED, queue=0, queue_per_asker=0), shares=False)


async def run_round(plan: Plan, engines: Mapping[NodeId, Engine], clock: Clock, watch: Watch | None = None) -> Record:
    """Run one planned round with the engines of this process and return its record, from which it can be replayed."""
    swarm = Swarm(engines, clock=clock)
    workers = {node: swarm.worker(node, plan) for node in engines}
    return await RoundRunner(begin(plan), workers, clock, watch).run()
