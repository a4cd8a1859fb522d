"""Which judge compares which pairs, in which order: a seeded schedule for each judge, and the next batch of it.

Knows nothing of answers, engines or money. Invariants: nobody is asked the same ordered question twice; a candidate's
only supporter never compares it (it may compare it where it has other supporters and is shown one of theirs: barring
judges from their whole group silences the honest majority); where the budget and recusal allow it, the pairs asked
by all judges of positive weight connect all candidates, and they do so with the first questions, so that a round cut
short still ranks everybody; each pair is asked in both orders equally often, to one. Randomness is an argument.

Pairs are taken along Hamiltonian paths of the complete graph (Walecki, in Lucas 1892): any n - 1 successive
pairs of a path connect everybody and use nobody more than twice.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil

import numpy as np
from msgspec import Struct

from waggle.core.errors import UsageError

Pair = tuple[int, int]
"""Two candidates; unordered pairs have the lower number first, questions the one shown first."""

PAIRS_PER_CANDIDATE = 3
"""Default budget of a judge: each candidate in about 6 of its pairs; all pairs up to 7 candidates."""
FULL_JUDGES = 7
"""Up to so many judges get that budget each; more of them share the work of so many in every batch."""
FIRST_JUDGES = 3
"""... and in the first batch the work of so many: in a clear case that is enough, and it grows with the candidates."""


class JudgeSeat(Struct, frozen=True):
    """A judge as the schedule sees it: the candidate that its own proposal fell into, and whether it is alone there."""

    own: int | None = None
    sole_supporter: bool = False

    @property
    def recused_from(self) -> int | None:
        """The candidate that it never gets, if any."""
        return self.own if self.sole_supporter else None


def next_batch(
    candidates: int,
    judges: Sequence[JudgeSeat],
    asked: Sequence[Sequence[Pair]],
    *,
    pairs_per_judge: int | None = None,
    both_orders: bool = True,
    judge_weights: Sequence[float] | None = None,
    focus: Sequence[int] = (),
    rng: np.random.Generator,
) -> list[list[Pair]]:
    """Plan the next questions of a round, given what was asked; the invariants hold for old and new together.

    Args:
        candidates: how many there are; below 2 nobody is asked anything.
        judges: one seat per judge.
        asked: for each judge the questions that it got already, in any order.
        pairs_per_judge: pairs (not questions) for each judge in this batch; 3 per candidate by default, fewer where
            there are more than FULL_JUDGES: a round's work grows with its candidates, not with candidates x judges.
        both_orders: ask each pair in both orders, all pairs once before any is asked again; else in one order,
            half the judges in each.
        judge_weights: one per judge, >= 0; judges of weight 0 are asked too, but nothing hangs on their pairs.
        focus: candidates that matter most now (the top two, say): pairs of two of them come first, then of one.
        rng: decides everything that is open.

    Returns:
        For each judge its questions (shown first, shown second) in the order to ask them; none for a judge that has
        nothing left. Two candidates, one judge who was asked nothing: [[(0, 1), (1, 0)]] or the reverse; who was asked
        (0, 1): [[(1, 0)]].

    Raises:
        UsageError: a seat, a weight or the questions asked do not fit.
    """
    weights = [1.0] * len(judges) if judge_weights is None else judge_weights
    _check(candidates, judges, asked, weights)
    usual = fair_share(candidates, len(judges), is_first=not any(asked))
    budget = usual if pairs_per_judge is None else pairs_per_judge
    plan = _Plan(candidates, judges, asked, weights, frozenset(focus), both_orders)
    turns = sorted(rng.permutation(len(judges)).tolist(), key=lambda judge: weights[judge] <= 0)
    chosen: list[list[Pair]] = [[] for _ in judges]
    for turn, judge in enumerate(turns):
        later = [judges[other] for other in turns[turn + 1 :] if weights[other] > 0]
        chosen[judge] = plan.choose(judge, budget, later, rng)
    return _in_order(asked, chosen, both_orders, rng)


def fair_share(candidates: int, judges: int, *, is_first: bool) -> int:
    """Pairs for each judge by default: 12 for 4 candidates and 7 judges; for 14 judges 3 at first, then 6 a batch."""
    shared = FIRST_JUDGES if is_first else FULL_JUDGES
    return ceil(PAIRS_PER_CANDIDATE * candidates * (1.0 if judges <= FULL_JUDGES else shared / judges))


class _Plan:
    """What is asked so far, as pairs are dealt out judge by judge."""

    def __init__(
        self,
        candidates: int,
        judges: Sequence[JudgeSeat],
        asked: Sequence[Sequence[Pair]],
        weights: Sequence[float],
        focus: frozenset[int],
        both_orders: bool,
    ) -> None:
        self.candidates, self.judges, self.weights, self.focus = candidates, judges, weights, focus
        self.both_orders = both_orders
        self.own = [Counter(_unordered(question) for question in set(questions)) for questions in asked]
        self.times: Counter[Pair] = Counter()
        self.part = list(range(candidates))
        for judge, pairs in enumerate(self.own):
            for pair in pairs:
                self._record(judge, pair)

    def choose(self, judge: int, budget: int, later: Sequence[JudgeSeat], rng: np.random.Generator) -> list[Pair]:
        """The judge's next pairs: first those that connect candidates, then those asked least."""
        recused, own = self.judges[judge].recused_from, self.own[judge]
        deck = [pair for pair in _deck(self.candidates, rng) if recused not in pair and own.get(pair, 0) < 2]
        deck.sort(key=lambda pair: self._priority(own.get(pair, 0), pair))
        bridges = self._bridges(deck, later)[:budget] if self.weights[judge] > 0 else []
        taken = set(bridges)
        pairs = bridges + [pair for pair in deck if pair not in taken][: budget - len(bridges)]
        for pair in pairs:
            self._record(judge, pair)
        return pairs

    def _priority(self, asked_orders: int, pair: Pair) -> tuple[int, int, int]:
        """Small comes first; equals stay in the deck's order. A pair half asked is finished, or kept for last."""
        half_asked = asked_orders == 1
        in_focus = (pair[0] in self.focus) + (pair[1] in self.focus)
        return half_asked != self.both_orders, -in_focus, self.times.get(pair, 0)

    def _bridges(self, deck: Sequence[Pair], later: Sequence[JudgeSeat]) -> list[Pair]:
        """A forest over the parts that nothing connects yet; first to whom the fewest later judges can connect."""
        parts = self.part.copy()
        found: list[Pair] = []
        if sum(part == candidate for candidate, part in enumerate(parts)) == 1:
            return found
        recused = Counter(seat.recused_from for seat in later)
        chances = [len(later) - recused[candidate] for candidate in range(self.candidates)]
        for pair in sorted(deck, key=lambda pair: min(chances[pair[0]], chances[pair[1]])):
            if _join(parts, pair):
                found.append(pair)
        return found

    def _record(self, judge: int, pair: Pair) -> None:
        if self.weights[judge] > 0:
            self.times[pair] += 1
            _join(self.part, pair)


def _deck(candidates: int, rng: np.random.Generator) -> Iterator[Pair]:
    """All pairs once, along Hamiltonian paths of shuffled candidates (closed through a hub if their number is odd)."""
    label = rng.permutation(candidates).tolist()
    ring = candidates - candidates % 2
    for turn in range(ring // 2):
        path = [(turn + (step + 1) // 2 * (-1) ** (step + 1)) % ring for step in range(ring)]
        if candidates % 2:
            path = [ring, *path, ring]
        for a, b in pairwise(path):
            yield _unordered((label[a], label[b]))


def _in_order(
    asked: Sequence[Sequence[Pair]], chosen: Sequence[Sequence[Pair]], both_orders: bool, rng: np.random.Generator
) -> list[list[Pair]]:
    """Turn each judge's pairs into questions: every pair once, then, where both orders are wanted, once reversed."""
    before = [set(questions) for questions in asked]
    lead: Counter[Pair] = Counter()  # how much more often the lower candidate of a pair was shown first
    for question in (question for questions in before for question in questions):
        lead[_unordered(question)] += _sign(question)
    plan = []
    for done, pairs in zip(before, chosen, strict=True):
        order = _orders(pairs, done, lead, rng)
        first_pass = [order[pair] for pair in pairs]
        for pair in pairs:
            lead[pair] += _sign(order[pair])
        plan.append(first_pass + [(b, a) for a, b in first_pass if both_orders and (b, a) not in done])
    return plan


def _orders(pairs: Sequence[Pair], done: set[Pair], lead: Counter[Pair], rng: np.random.Generator) -> dict[Pair, Pair]:
    """For each pair its order: the one this judge has left, else the rarer one, else what balances the positions."""
    half_asked = {pair: pair[::-1] if pair in done else pair for pair in pairs if pair in done or pair[::-1] in done}
    rarer = {pair: pair if lead[pair] < 0 else pair[::-1] for pair in pairs if lead[pair]}
    even = _balanced([pair for pair in pairs if not lead[pair] and pair not in half_asked], rng)
    return {_unordered(question): question for question in even} | rarer | half_asked


def _balanced(pairs: Sequence[Pair], rng: np.random.Generator) -> list[Pair]:
    """Give each pair an order in which everybody is first as often as second, to one: the way of a walk (Euler)."""
    neighbours: dict[int, set[int]] = defaultdict(set)
    for a, b in pairs:
        neighbours[a].add(b)
        neighbours[b].add(a)
    ordered: list[Pair] = []
    for start in neighbours:  # from odd ends first: a walk then ends at another, and what is left are round trips
        if len(neighbours[start]) % 2:
            ordered += _walk(neighbours, start)
    for start in neighbours:
        while neighbours[start]:
            ordered += _walk(neighbours, start)
    return [(b, a) for a, b in ordered] if rng.random() < 0.5 else ordered


def _walk(neighbours: dict[int, set[int]], start: int) -> list[Pair]:
    """Go on from `start`, using up every pair that is passed, until there is no way on."""
    steps = []
    here = start
    while neighbours[here]:
        there = neighbours[here].pop()
        neighbours[there].remove(here)
        steps.append((here, there))
        here = there
    return steps


def _join(part: list[int], pair: Pair) -> bool:
    """Merge the parts of two candidates; False where they were one part already. `part` is a forest of parents."""
    roots = []
    for end in pair:
        while part[end] != end:
            part[end] = end = part[part[end]]
        roots.append(end)
    part[roots[0]] = roots[1]
    return roots[0] != roots[1]


def _unordered(question: Pair) -> Pair:
    a, b = question
    return (a, b) if a < b else (b, a)


def _sign(question: Pair) -> int:
    return 1 if question[0] < question[1] else -1


def _check(
    candidates: int, judges: Sequence[JudgeSeat], asked: Sequence[Sequence[Pair]], weights: Sequence[float]
) -> None:
    if not len(judges) == len(asked) == len(weights):
        raise UsageError(f"{len(judges)} judges need as many weights and lists asked: {len(weights)}, {len(asked)}")
    if any(seat.own is not None and not 0 <= seat.own < candidates for seat in judges):
        raise UsageError(f"a judge's own candidate is outside 0..{candidates - 1}")
    if any(seat.sole_supporter and seat.own is None for seat in judges):
        raise UsageError("a judge without a candidate cannot be its only supporter")
    for question in (question for questions in asked for question in questions):
        if not (0 <= min(question) < max(question) < candidates):
            raise UsageError(f"{question} is no question about candidates 0..{candidates - 1}")
