"""Where nodes, names and rings are drawn."""

import math
from itertools import pairwise

import pytest

from waggle.core.ids import NodeId
from waggle.core.mesh_values import Advert, Liveness, ModelOffer, Peer
from waggle.dashboard.swarm.network_layout import (
    HEIGHT,
    INNER,
    MIDDLE_X,
    MIDDLE_Y,
    MOST,
    OUTER,
    RADIUS,
    WIDTH,
    Own,
    Spot,
    decades,
    distance,
    peer_kind,
    peer_name,
    rings,
    spaced,
    spots,
)

LAN = 0.0002


def peer(name: str, trip: float | None = 0.01, liveness: Liveness = Liveness.ALIVE, reason: str = "") -> Peer:
    offer = ModelOffer(model=f"model-{name}", family="", context_tokens=1)
    advert = Advert(
        node=NodeId(name), network="n", incarnation=1, sequence=1, issued_at=0.0, ttl=1.0, version="1", offers=(offer,)
    )
    return Peer(advert=advert, liveness=liveness, round_trip=trip, reason=reason)


def far_out(spot: Spot) -> float:
    return math.dist((spot.x, spot.y), (MIDDLE_X, MIDDLE_Y)) / RADIUS


def test_slower_nodes_are_further_out_and_silent_ones_at_the_rim() -> None:
    far = [distance(trip, 1.0, 1_000.0) for trip in (0.0, 0.001, 0.02, 0.2, 1.0, None)]
    assert far == sorted(far)
    assert (far[0], far[4], far[5]) == pytest.approx((INNER, OUTER, 1.0))


@pytest.mark.parametrize(
    ("trips", "bounds"),
    [
        ((0.0002, 0.03), (0.1, 100.0)),
        ((0.0002,), (0.1, 1.0)),
        ((0.001,), (1.0, 10.0)),
        ((None, 0.0), (0.1, 1.0)),
        ((), (1.0, 10.0)),
        ((1e9,), (10_000.0, 100_000.0)),
    ],
)
def test_the_rings_are_the_powers_of_ten_around_all_round_trips(
    trips: tuple[float | None, ...], bounds: tuple[float, float]
) -> None:
    assert decades([peer(f"p{n}", trip) for n, trip in enumerate(trips)]) == pytest.approx(bounds)


def test_rings_say_what_they_mean_and_there_are_none_without_a_round_trip() -> None:
    drawn = rings([peer("a", 0.0004), peer("b", 0.02)])
    assert [ring.note for ring in drawn] == ["0.1 ms", "1 ms", "10 ms", "100 ms"]
    assert [ring.radius for ring in drawn] == sorted(ring.radius for ring in drawn)
    assert rings([]) == []
    assert rings([peer("silent", None)]) == []


def test_a_node_on_a_ring_took_as_long_as_the_ring_says() -> None:
    peers = [peer("a", 0.001), peer("b", 0.1)]
    ring = next(ring for ring in rings(peers) if ring.note == "100 ms")
    spot = next(spot for spot in spots(peers) if spot.name == "model-b")
    assert far_out(spot) * RADIUS == pytest.approx(ring.radius)


def test_dead_never_looks_idle() -> None:
    assert peer_kind(peer("a")) == ""
    assert peer_kind(peer("a", reason="no answer for 5 s")) == "standby"
    assert peer_kind(peer("a", liveness=Liveness.SUSPECT)) == "standby"
    assert peer_kind(peer("a", liveness=Liveness.DEAD)) == "off"
    assert peer_kind(peer("a", liveness=Liveness.DEPARTED)) == "off"
    (down,) = spots([], [Own("sage", "it cannot be reached")])
    assert (down.kind, down.note) == ("off", "down")


@pytest.mark.parametrize("count", [1, 2, 3, 7, 12, 16, 17, 40, 50, 10_000])
@pytest.mark.parametrize("trip", [LAN, None])
def test_any_number_of_equal_nodes_is_inside_the_picture_and_no_name_lies_on_another(
    count: int, trip: float | None
) -> None:
    placed = spots([peer(f"node{n}", trip) for n in range(count)])
    assert len(placed) == min(count, MOST)
    assert all(0 < spot.x < WIDTH and 0 < spot.y < HEIGHT and 0 < spot.name_y < HEIGHT for spot in placed)
    assert len({(round(spot.x), round(spot.y)) for spot in placed}) == len(placed)
    for side in (True, False):
        column = sorted((spot.name_y, bool(spot.note)) for spot in placed if spot.right is side)
        gaps = [(low - high, two_lines) for (high, two_lines), (low, _) in pairwise(column)]
        assert all(gap >= (30.0 if two_lines else 13.0) for gap, two_lines in gaps), gaps


def test_no_node_lies_where_the_rings_have_their_names() -> None:
    for count in range(1, MOST + 1):
        placed = spots([peer(f"n{n}", LAN) for n in range(count)])
        assert not any(abs(spot.x - MIDDLE_X) < 1 and spot.y < MIDDLE_Y for spot in placed), count


def test_names_are_pushed_apart_only_where_they_must() -> None:
    assert spaced([10.0, 100.0], 30.0, 0.0, 200.0) == [10.0, 100.0]
    assert spaced([10.0, 12.0, 14.0], 30.0, 0.0, 200.0) == [10.0, 40.0, 70.0]
    assert spaced([190.0, 195.0], 30.0, 0.0, 200.0) == [170.0, 200.0]
    assert spaced([0.0] * 5, 100.0, 0.0, 200.0) == [0.0, 50.0, 100.0, 150.0, 200.0]
    assert spaced([], 30.0, 0.0, 200.0) == []


def test_own_models_are_drawn_only_where_there_is_no_network() -> None:
    assert spots([], []) == []
    assert [spot.kind for spot in spots([], [Own("sage"), Own("thyme")])] == ["own", "own"]
    assert [spot.name for spot in spots([peer("a")], [Own("sage")])] == ["model-a"]


def test_a_node_without_a_name_goes_by_its_model() -> None:
    assert peer_name(peer("12D3KooW")) == "model-12D3KooW"
