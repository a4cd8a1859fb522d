"""Coordinates rounds: from a question to a plan with those who can be asked now, and from the plan to its record.

The same for engines of one process and for nodes of a mesh: who can be asked, and how, is a `Party`. How well a model
answers is taken from this node's own calibration, where that knows the model; nobody's own word counts for it.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from waggle.core.asking import AskOptions, check_question
from waggle.core.errors import EngineUnavailable, PeerBusy
from waggle.core.ids import NodeId, RoundId
from waggle.core.round_values import Plan, Record, Standing
from waggle.node.calibration import Calibration
from waggle.node.chance import draw
from waggle.node.clock import Clock, SystemClock
from waggle.node.rounds.runner import RoundRunner
from waggle.node.rounds.work import Worker
from waggle.routing.committee import Committee, Option, choose_committee
from waggle.strategies.machine import Watch
from waggle.strategies.ways import begin, find_way, plan_round

UNFAMILIAR = 0.5
"""How familiar every question is where nothing was measured."""


@dataclass(frozen=True)
class CommitteeSize:
    """How many nodes take part in a round. A proposer `hedge_factor` times slower than expected is doubled."""

    proposers: int = 7
    standby: int = 2
    judges: int = 7
    hedge_factor: float | None = 3.0


class Available(Struct, frozen=True, kw_only=True):
    """One model of one node that can be asked now. `model` is the name by which it may have been measured.

    `busy` is work at hand over places, times are in seconds; `trusted` says that its answer needs no check by others,
    `late` that it let a deadline pass lately.
    """

    node: NodeId
    model: str
    converses: bool = True
    trusted: bool = False
    busy: float = 0.0
    round_trip: float = 0.0
    expected_seconds: float | None = None
    late: bool = False


class Party(Protocol):
    """Those who can be asked from here."""

    @property
    def size(self) -> CommitteeSize | None:
        """How many take part; None where all do, who need no commitments because nobody listens."""
        ...

    def available(self, max_tokens: int) -> Sequence[Available]:
        """Who can be asked now for answers of so many tokens."""
        ...

    def worker(self, node: NodeId, plan: Plan) -> Worker:
        """A node's part in a round."""
        ...

    def note(self, record: Record) -> None:
        """Learn from a round that has ended."""
        ...


class Coordinator:
    """Answers questions with a party."""

    def __init__(self, party: Party, calibration: Calibration | None = None, clock: Clock | None = None) -> None:
        self._party = party
        self._calibration = calibration
        self._clock = clock or SystemClock()

    async def ask(
        self, question: str, options: AskOptions | None = None, watch: Watch | None = None, request: str | None = None
    ) -> Record:
        """Answer one question; the record holds the outcome and all that led to it.

        Args:
            request: names the question across coordinators; a new name where this is left out.

        Raises:
            UsageError: an empty or oversize question, or an unknown strategy or model.
            EngineUnavailable: there is nobody to ask.
            PeerBusy: there is no answer, because nodes have no room now; `retry_after` says when to come again.
        """
        plan = self.plan(question, options or AskOptions(), request)
        nodes = {standing.node for standing in (*plan.proposers, *plan.standby, *plan.judges)}
        workers = {node: self._party.worker(node, plan) for node in nodes}
        runner = RoundRunner(begin(plan), workers, self._clock, watch)
        record = await runner.run()
        self._party.note(record)
        if record.outcome.answer is None and runner.full:
            waits = [full.retry_after for full in runner.full if full.retry_after is not None]
            raise PeerBusy("the swarm has no room now", min(waits, default=None))
        return record

    def plan(self, question: str, options: AskOptions, request: str | None = None) -> Plan:
        """Fix everything that decides how the round goes, beginning with who takes part."""
        check_question(question)
        by_name, size = bool(find_way(options.strategy).takes), self._party.size  # any node may be the one named
        there = self._party.available(options.max_tokens)
        if options.turns and not by_name:  # a conversation is for those that read one, where there are any
            there = [each for each in there if each.converses] or there
        if not there:
            raise EngineUnavailable("no node with a model is there: join a swarm, or give this node an engine")
        found, familiarity = self._measured(question, there)
        committee = _everybody(found) if size is None else self._chosen(found, there, size, by_name=by_name)
        base = Plan(
            round_id=RoundId(request or secrets.token_hex(16)),
            question=question,
            proposers=committee.proposers,
            standby=committee.standby,
            judges=committee.judges,
            familiarity=familiarity,
            commit_reveal=size is not None,
            hedge_factor=None if size is None else size.hedge_factor,
        )
        trusted = [each.standing for each, one in zip(found, there, strict=True) if one.trusted]
        return plan_round(base, options, _ranked(trusted), self._calibration.confidence if self._calibration else None)

    def _measured(self, question: str, there: Sequence[Available]) -> tuple[list[Option], float]:
        """What everyone is worth on this question, and how familiar it is; the same for all where nothing is known."""
        known = self._calibration
        if known is None or not any(each.model in known.nodes for each in there):
            return [_option(Standing(node=each.node), each) for each in there], UNFAMILIAR
        guess = known.guess(question)
        worth = {model: known.standing(NodeId(model), guess) for model in {each.model for each in there}}
        return [_option(worth[each.model], each) for each in there], guess.certainty

    def _chosen(
        self, found: Sequence[Option], there: Sequence[Available], size: CommitteeSize, *, by_name: bool
    ) -> Committee:
        """A committee of those who let no deadline pass lately, where there are any."""
        punctual = [each for each, one in zip(found, there, strict=True) if not one.late]
        return choose_committee(
            found if by_name else punctual or found,
            proposers=len(found) if by_name else size.proposers,
            standby=size.standby,
            judges=size.judges,
            rng=draw(secrets.randbits(128)),  # and not the id's, which a client chooses
        )


def _option(worth: Standing, each: Available) -> Option:
    standing = replace(worth, node=each.node, model=each.model, expected_seconds=each.expected_seconds)
    return Option(standing=standing, busy=each.busy, round_trip=each.round_trip)


def _everybody(found: Sequence[Option]) -> Committee:
    """All of them in both parts, the most skilled first."""
    everyone = tuple(_ranked([each.standing for each in found]))
    return Committee(proposers=everyone, standby=(), judges=everyone)


def _ranked(standings: Sequence[Standing]) -> list[Standing]:
    return sorted(standings, key=lambda standing: -standing.skill)
