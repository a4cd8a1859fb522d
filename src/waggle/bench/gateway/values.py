"""What the gateway's bench asks, how a reply is matched with its question, and what is made of the figures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

import msgspec
import numpy as np
from msgspec import Struct

from waggle.bench.gateway.http import Crowd, Reply
from waggle.bench.report import Row, number
from waggle.bench.scores import ends, resampled_medians

STEP = 1_000
"""Sums of different questions lie so far apart; scripted engines err by less."""
WRONG, UNREADABLE, TWICE = "a reply to another question", "a reply that is none", "a round answered twice"


class _Said(Struct):
    content: str | None = None


class _Choice(Struct):
    message: _Said


class _Round(Struct):
    round_id: str = ""


class _Completion(Struct):
    choices: list[_Choice]
    waggle: _Round | None = None


def questions(start: int) -> Iterator[str]:
    """Sums, no two of which have answers near each other; below a million scripted engines can work them."""
    return (f"What is {STEP * number} + {STEP // 2}?" for number in count(start))


def number_of(question: str) -> int:
    """Which question it is."""
    return int(question.split()[2]) // STEP


class Matching:
    """Checks replies: an echo word by word, a sum by the question it can belong to, a round by its being new."""

    def __init__(self, *, echo: bool) -> None:
        """Of a model that says what it was asked, or of one that adds up."""
        self._echo = echo
        self._rounds: set[str] = set()

    def __call__(self, question: str, reply: Reply) -> str:
        """What is wrong with it; empty where nothing is."""
        try:
            completion = msgspec.json.decode(reply.body, type=_Completion)
            text = completion.choices[0].message.content or ""
            matches = text == question if self._echo else int(text) // STEP == number_of(question)
        except (msgspec.MsgspecError, ValueError, IndexError):
            return UNREADABLE
        if not matches:
            return WRONG
        return self._note(completion.waggle.round_id if completion.waggle else "")

    def _note(self, round_id: str) -> str:
        if round_id and round_id in self._rounds:
            return TWICE
        self._rounds.add(round_id)
        return ""


@dataclass
class Pairs:
    """The same questions asked here and through the gateway: milliseconds in the same order, and processor time."""

    inside: list[float] = field(default_factory=list)
    through: list[float] = field(default_factory=list)
    inside_cpu_seconds: float = 0.0
    through_cpu_seconds: float = 0.0

    def rows(self, seed: int) -> list[Row]:
        """Both ways, and what the gateway added to each question."""
        added = np.array(self.through) - np.array(self.inside)
        low, high = ends(resampled_medians(added, np.random.default_rng(seed)))
        both = [
            _spread("a round in this process", self.inside, self.inside_cpu_seconds),
            _spread("the same round through the gateway", self.through, self.through_cpu_seconds),
        ]
        more = {column: number(both[1][column]) - number(both[0][column]) for column in ("p99_ms", "cpu_ms")}
        middle: Row = {"p50_ms": float(np.median(added)), "low": low, "high": high}
        return [*both, {"name": "added by the gateway", "questions": len(added), **middle, **more}]


def _spread(name: str, ms: Sequence[float], cpu_seconds: float) -> Row:
    p50, p99 = np.percentile(ms, [50, 99]).tolist()
    return {"name": name, "questions": len(ms), "p50_ms": p50, "p99_ms": p99, "cpu_ms": 1000 * cpu_seconds / len(ms)}


def crowd_row(name: str, clients: int, crowds: Sequence[Crowd], note: str = "") -> Row:
    """Medians over the repeats; failures and refusals added up."""
    ms = [percentiles(crowd) for crowd in crowds if crowd.ms]
    return {
        "name": name,
        "clients": clients,
        "requests_per_second": float(np.median([crowd.per_second for crowd in crowds])) if crowds else None,
        "p50_ms": float(np.median([p50 for p50, _ in ms])) if ms else None,
        "p99_ms": float(np.median([p99 for _, p99 in ms])) if ms else None,
        "good": sum(len(crowd.ms) for crowd in crowds),
        "failed": sum(crowd.failures.total() for crowd in crowds),
        "told_to_come_again": sum(crowd.full for crowd in crowds),
        "note": note or "; ".join(sorted({kind for crowd in crowds for kind in crowd.failures})),
    }


def percentiles(crowd: Crowd) -> tuple[float, float]:
    """Median and 99th percentile."""
    p50, p99 = np.percentile(crowd.ms, [50, 99]).tolist()
    return p50, p99


def ratio_row(beside: str, clients: int, ours: Sequence[Crowd], theirs: Sequence[Crowd], seed: int) -> Row:
    """How many times as many requests a second we answer, repeat by repeat."""
    floor = 1 / max(crowd.seconds for crowd in theirs)
    ratios = np.array([a.per_second / max(b.per_second, floor) for a, b in zip(ours, theirs, strict=True)])
    low, high = ends(resampled_medians(ratios, np.random.default_rng(seed)))
    return {
        "beside": beside,
        "clients": clients,
        "times_as_many": float(np.median(ratios)),
        "low": low,
        "high": high,
        "repeats": len(ratios),
    }
