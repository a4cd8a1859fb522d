"""A node that has ended leaves a trace on a page that saw it."""

import pytest

from waggle.core.ids import NodeId
from waggle.core.mesh_values import Advert, Liveness, Peer
from waggle.dashboard.swarm.gone import KEPT_SECONDS, MOST, Gallery, Gone, gone_words


def peer(node: str) -> Peer:
    advert = Advert(node=NodeId(node), network="waggle", incarnation=1, sequence=1, issued_at=0.0, ttl=60.0,
                    version="0.1.0", name=f"{node}-box")  # fmt: skip
    return Peer(advert=advert, liveness=Liveness.ALIVE)


def test_who_was_seen_and_is_no_more_is_told_with_the_time() -> None:
    gallery = Gallery()
    assert gallery.look([peer("a"), peer("b")], 0.0) == ()
    assert gallery.look([peer("a")], 10.0) == (Gone("b", "b-box", "just now"),)
    assert gallery.look([peer("a")], 52.0) == (Gone("b", "b-box", "40 s ago"),)


def test_who_comes_back_is_not_gone() -> None:
    gallery = Gallery()
    gallery.look([peer("a")], 0.0)
    gallery.look([], 1.0)
    assert gallery.look([peer("a")], 2.0) == ()
    assert gallery.look([], 100.0)[0].ago == "just now"


def test_after_some_minutes_nobody_speaks_of_it() -> None:
    gallery = Gallery()
    gallery.look([peer("a")], 0.0)
    assert len(gallery.look([], 1.0)) == 1
    assert len(gallery.look([], 1.0 + KEPT_SECONDS)) == 1
    assert gallery.look([], 2.0 + KEPT_SECONDS) == ()
    assert gallery.look([], 3.0 + KEPT_SECONDS) == ()


def test_a_swarm_that_changes_all_the_time_is_not_remembered_for_ever() -> None:
    gallery = Gallery()
    for number in range(10 * MOST):
        found = gallery.look([peer(f"n{number}")], float(number) / 10)
    assert len(found) == MOST
    assert found[0].node == f"n{10 * MOST - 2}"
    assert len(gallery._names) <= MOST + 1


@pytest.mark.parametrize(
    ("seconds", "words"), [(4.9, "just now"), (5.0, "5 s ago"), (59.9, "55 s ago"), (75.0, "1 minute ago")]
)
def test_the_time_grows_in_steps(seconds: float, words: str) -> None:
    assert gone_words(seconds) == words
