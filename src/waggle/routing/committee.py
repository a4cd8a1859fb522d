"""Who takes part in a round: of all nodes that could, a few that should.

The size of a committee does not depend on the size of the swarm. Preferred are skilled nodes; among equals those with
another model than the ones already chosen, because two copies of a model err together; then those with less to do and
nearer by. Lots decide what is left, so that equal nodes share the work. Pure: chance is an argument.

Before that stands the gate: one node, or the committee? A committee can put right what one node gets wrong, at several
times the tokens, and it can also outvote who is right. So a question goes to one node where that node's measured skill
leaves the committee little to add. Skill here is skill at this very question: it falls with the doubt about the
question's kind, and a node that was never measured is never enough.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from waggle.core.ids import NodeId
from waggle.core.round_values import Standing

ENOUGH_SKILL = 0.9
"""From here on the committee can gain a tenth at most. 40 of 40 calibration questions show 0.91 to 0.95, 38 of 40
less than 0.9."""

SAME_MODEL = 0.1
"""What a further node with a model already chosen loses in skill, once for each. It may double an expert, not crowd
out the rest."""

BUSY = 0.05
"""What a node with all its places taken loses in skill."""

STEP = 0.02
"""Differences in worth below this are no differences: skills are measured on a few dozen questions."""

NEAR_SECONDS = 0.05
"""Round trips that differ by less than this are equally near: else the nearest node would do all the work."""


class Option(Struct, frozen=True, kw_only=True):
    """A node with one of its models: what it is worth for the question at hand, and how busy and how far it is.

    `busy` is work at hand over places, `round_trip` in seconds.
    """

    standing: Standing
    busy: float = 0.0
    round_trip: float = 0.0


class Committee(Struct, frozen=True, kw_only=True):
    """Proposers and those who stand by for them, the most wanted first, and judges. A node is in it with one model."""

    proposers: tuple[Standing, ...]
    standby: tuple[Standing, ...]
    judges: tuple[Standing, ...]


def one_is_enough(trusted: Sequence[Standing]) -> Standing | None:
    """The most skilled of these nodes, where its answer alone will do; else None, for the committee.

    Only nodes that need no check may be given: whoever answers alone is judged by nobody.
    """
    best = max(trusted, key=lambda standing: standing.skill, default=None)
    return best if best is not None and best.skill >= ENOUGH_SKILL else None


def choose_committee(
    options: Sequence[Option], *, proposers: int, standby: int, judges: int, rng: np.random.Generator
) -> Committee:
    """Choose at most so many of each; judges are those whose ballots weigh most, proposers or not."""
    lots = rng.permutation(len(options))
    shuffled = [options[place] for place in lots]
    chosen = _by_worth(shuffled, proposers + standby)
    weighty = sorted(shuffled, key=lambda option: -option.standing.judge_weight)
    return Committee(
        proposers=tuple(chosen[:proposers]),
        standby=tuple(chosen[proposers:]),
        judges=tuple(_one_per_node(weighty, judges)),
    )


def _by_worth(options: list[Option], count: int) -> list[Standing]:
    """One after the other the worthiest, each choice making its own model less wanted."""
    copies: dict[str, int] = {}
    left = list(options)
    chosen: list[Standing] = []
    while left and len(chosen) < count:
        best = max(left, key=lambda option: _worth(option, copies))
        chosen.append(best.standing)
        copies[best.standing.model] = copies.get(best.standing.model, 0) + 1
        left = [option for option in left if option.standing.node != best.standing.node]
    return chosen


def _worth(option: Option, copies: dict[str, int]) -> tuple[int, int]:
    same = copies.get(option.standing.model, 0) if option.standing.model else 0
    worth = option.standing.skill - SAME_MODEL * same - BUSY * min(option.busy, 4.0)
    return round(worth / STEP), -round(option.round_trip / NEAR_SECONDS)


def _one_per_node(options: list[Option], count: int) -> list[Standing]:
    seen: dict[NodeId, Standing] = {}
    for option in options:
        if option.standing.judge_weight > 0 and len(seen) < count:
            seen.setdefault(option.standing.node, option.standing)
    return list(seen.values())
