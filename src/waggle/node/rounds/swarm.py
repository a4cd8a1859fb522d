"""A swarm inside one process: named engines and what was measured of them; ask it a question, get a record."""

import secrets
from collections.abc import Mapping, Sequence

from waggle.core.errors import UsageError
from waggle.core.ids import NodeId, RoundId
from waggle.core.round_values import Plan, Record, Standing
from waggle.engines.protocol import Engine
from waggle.node.calibrating.calibration import Calibration
from waggle.node.clock import Clock, SystemClock
from waggle.node.engines.watch import reads_conversations, trouble_of
from waggle.node.rounds.planning import SOLO, AskOptions, check_question, confidence_model, plan_round, settle
from waggle.node.rounds.runner import Watch, run_round


class Swarm:
    """Engines by node name, and their calibration if there is one."""

    def __init__(
        self, engines: Mapping[NodeId, Engine], calibration: Calibration | None = None, clock: Clock | None = None
    ) -> None:
        if not engines:
            raise UsageError("a swarm needs at least one engine")
        self.engines = dict(engines)
        known = calibration is not None and any(node in calibration.nodes for node in engines)
        self.calibration = calibration if known else None  # of other nodes it says nothing, and nobody would count
        self.clock = clock or SystemClock()

    async def ask(
        self, question: str, options: AskOptions | None = None, watch: Watch | None = None, request: str | None = None
    ) -> Record:
        """Answer one question; the record holds the outcome and all that led to it.

        Args:
            request: names the round; a new name where this is left out.

        Raises:
            UsageError: an empty or oversize question, or an unknown strategy or model.
        """
        plan = self.plan(question, options or AskOptions(), request)
        return await run_round(plan, self.engines, self.clock, watch)

    def plan(self, question: str, options: AskOptions, request: str | None = None) -> Plan:
        """Fix everything that decides how the round goes."""
        check_question(question)
        standings, familiarity = self._standings(question, self._those_for(options))
        options, _ = settle(options, standings)  # the most skilled one is the first anyway
        base = Plan(
            round_id=RoundId(request or secrets.token_hex(16)),
            question=question,
            proposers=standings,
            judges=standings,
            familiarity=familiarity,
            confidence=confidence_model(self.calibration, options.strategy),
        )
        return plan_round(base, options)

    def _those_for(self, options: AskOptions) -> list[NodeId]:
        """Whose engines work, as far as is known; a conversation is for those that read one, where there are any."""
        nodes = [node for node, engine in self.engines.items() if not trouble_of(engine)] or list(self.engines)
        if not options.turns or options.strategy.startswith(SOLO):
            return nodes
        return [node for node in nodes if reads_conversations(self.engines[node])] or nodes

    def _standings(self, question: str, nodes: Sequence[NodeId]) -> tuple[tuple[Standing, ...], float]:
        """Who weighs how much on this question, the most skilled first, and how familiar the question is."""
        if self.calibration is None:
            return tuple(Standing(node=node) for node in nodes), 0.5
        guess = self.calibration.guess(question)
        standings = [self.calibration.standing(node, guess) for node in nodes]
        return tuple(sorted(standings, key=lambda standing: (-standing.skill, standing.node))), guess.certainty

    async def close(self) -> None:
        """Close every engine."""
        for engine in self.engines.values():
            await engine.close()
