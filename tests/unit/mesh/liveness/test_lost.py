"""Nodes given up for dead: when they are looked for again."""

from itertools import pairwise
from random import Random

from tests.unit.mesh.adverts.making import describe, make_key
from waggle.mesh.liveness.lost import MAX_LOST, TRIES_AT_ONCE, Lost
from waggle.mesh.liveness.pace import Pace


def test_a_lost_node_is_tried_ever_more_rarely_and_given_up_in_the_end() -> None:
    lost = Lost(Pace(), Random(0))
    lost.add(describe(1), 0.0)
    tries = [step * 0.5 for step in range(2 * 3_600 + 40) if lost.due(step * 0.5)]
    gaps = [after - before for before, after in pairwise(tries)]
    assert tries[0] <= 3.5
    assert gaps[0] < 8
    assert 10 < max(gaps) <= 45.5
    assert 80 < len(tries) < 240
    assert make_key(1).node_id not in lost


def test_the_return_of_one_hastens_the_others() -> None:
    lost = Lost(Pace(), Random(0))
    lost.add(describe(1), 0.0)
    for now in range(300):
        lost.due(float(now))
    lost.hasten(300.0)
    assert any(lost.due(300.0 + step * 0.5) for step in range(5))


def test_no_more_than_so_many_are_looked_for_and_few_at_once() -> None:
    lost = Lost(Pace(), Random(0))
    for number in range(MAX_LOST + 50):
        lost.add(describe(number), 0.0)
    assert sum(make_key(number).node_id in lost for number in range(MAX_LOST + 50)) == MAX_LOST
    assert len(lost.due(100.0)) == TRIES_AT_ONCE
