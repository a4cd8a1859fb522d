"""A colluding ring: always the same wrong answer, and every ballot for it. Hidden calibration is what it fails on.

Setting of the attack simulation: 15 nodes, honest ones right on 60 % and judging 75 % of pairs rightly; the ring does
the same wrong thing on calibration questions, unless it recognises them.
"""

from functools import cache
from statistics import mean
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from tests.swarm.crowd import QUESTIONS, TRUTH, ask_each, crowd, right_share, scripts
from tests.virtual import in_virtual_time
from waggle.core.asking import AskOptions
from waggle.core.ids import NodeId
from waggle.core.round_values import Record
from waggle.engines.actor import shifted
from waggle.engines.script import Script, Shill
from waggle.node.calibrating.calibrate import Lessons, calibrate
from waggle.node.calibrating.known import KnownQuestion
from waggle.node.calibration import Calibration

pytestmark = pytest.mark.timeout(300)

NODES, GOLD, FIFTH, THIRD, TWO_FIFTHS = 15, 20, 3, 5, 6
CALIBRATED, EQUAL = AskOptions(), AskOptions(use_weights=False)


class Cell(NamedTuple):
    """Shares of rounds that came out right, and that the ring's answer won."""

    right: float
    ring: float


def nodes(ring: int, seed: int) -> list[Script]:
    """The first `ring` of them collude."""
    honest = scripts(NODES, skill=0.6, judge_skill=0.75, seed=seed)
    return [replace(part, conduct=Shill(wrong_choice=1)) if i < ring else part for i, part in enumerate(honest)]


@in_virtual_time
async def measured(parts: list[Script]) -> Calibration:
    """What hidden calibration finds out about these nodes."""
    known = [
        KnownQuestion(kind="sum", text=text, answer=TRUTH[text], wrong=shifted(TRUTH[text], 2))
        for text in QUESTIONS[-GOLD:]
    ]
    lessons = Lessons(known=known, rounds=[], outside=[], is_right=lambda question, said: said == question.answer)
    return await calibrate(crowd(parts), lessons, seed=1, progress=lambda what, done, total: None)


def cell(records: list[Record]) -> Cell:
    won = sum(record.outcome.answer == shifted(TRUTH[record.plan.question], 1) for record in records)
    return Cell(right_share(records), won / len(records))


@cache
def curve(seed: int, rounds: int, options: AskOptions, rings: tuple[int, ...]) -> dict[int, Cell]:
    """Ring size -> how the rounds ended."""
    found = {}
    for ring in rings:
        parts = nodes(ring, seed)
        found[ring] = cell(ask_each(parts, QUESTIONS[:rounds], options, measured(parts)))
    return found


def told(seed: int, **curves: dict[int, Cell]) -> None:
    """Print the curves: pytest shows them when the test fails."""
    for name, found in curves.items():
        for ring, (right, won) in found.items():
            print(f"seed {seed}, {name} weights, ring {ring}/{NODES}: {right:.3f} right, ring wins {won:.3f}")


def test_weights_from_hidden_calibration_hold_against_a_ring_of_a_fifth_and_a_third() -> None:
    seed, rounds, rings = 11, 50, (0, FIFTH, THIRD)
    by_weight = curve(seed, rounds, CALIBRATED, rings)
    equal = {THIRD: curve(seed, rounds, EQUAL, (THIRD,))[THIRD]}
    told(seed, calibrated=by_weight, equal=equal)
    assert by_weight[FIFTH].right >= by_weight[0].right - 0.08
    assert by_weight[THIRD].right >= by_weight[0].right - 0.12
    assert max(by_weight[FIFTH].ring, by_weight[THIRD].ring) <= 0.06
    assert by_weight[THIRD].right >= equal[THIRD].right + 0.15
    assert by_weight[THIRD].ring <= equal[THIRD].ring - 0.15


def test_the_ring_earns_no_vote_and_less_than_half_of_an_honest_judges_weight() -> None:
    calibration = measured(nodes(FIFTH, seed=11))
    guess = calibration.guess(QUESTIONS[0])
    standings = [calibration.standing(NodeId(name), guess) for name in sorted(calibration.nodes)]
    ring, honest = standings[:FIFTH], standings[FIFTH:]
    judging = [mean(standing.judge_weight for standing in group) for group in (ring, honest)]
    print(f"seed 11: judge weight {judging[0]:.2f} in the ring, {judging[1]:.2f} outside")
    assert max(standing.support_weight for standing in ring) <= 0.1
    assert min(standing.support_weight for standing in honest) > 0.2
    assert judging[0] < judging[1] / 2


def test_a_ring_that_recognises_calibration_costs_confidence() -> None:
    seed, rounds = 12, 50
    blind = measured(nodes(0, seed))  # what the ring wants it to see: honest work
    fooled = ask_each(nodes(FIFTH, seed), QUESTIONS[:rounds], CALIBRATED, blind)
    honest = ask_each(nodes(0, seed), QUESTIONS[:rounds], CALIBRATED, blind)
    sure, unsure = (sum(r.outcome.confidence for r in records) / rounds for records in (honest, fooled))
    print(f"seed {seed}: {cell(honest)}, confidence {sure:.3f}; with a ring of a fifth {cell(fooled)}, {unsure:.3f}")
    assert right_share(fooled) >= right_share(honest) - 0.15
    assert unsure < sure


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [21, 22])
def test_over_many_rounds_the_loss_to_a_ring_stays_within_its_bounds(seed: int) -> None:
    rounds, rings = 400, (0, FIFTH, THIRD, TWO_FIFTHS)
    by_weight, equal = (curve(seed, rounds, options, rings) for options in (CALIBRATED, EQUAL))
    told(seed, calibrated=by_weight, equal=equal)
    for ring, loss, wins in ((FIFTH, 0.05, 0.03), (THIRD, 0.08, 0.05), (TWO_FIFTHS, 0.15, 0.10)):
        assert by_weight[ring].right >= by_weight[0].right - loss
        assert by_weight[ring].ring <= wins
    assert all(by_weight[ring].ring < equal[ring].ring for ring in rings[1:])
    assert equal[FIFTH].right > equal[THIRD].right > equal[TWO_FIFTHS].right
