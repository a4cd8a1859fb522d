"""Where nodes are drawn."""

from waggle.core.ids import NodeId
from waggle.core.mesh_values import Advert, Liveness, ModelOffer, Peer
from waggle.dashboard.network_picture import HEIGHT, INNER, MOST, OUTER, WIDTH, distance, peer_kind, peer_name, spots


def peer(name: str, trip: float | None = 0.01, liveness: Liveness = Liveness.ALIVE, reason: str = "") -> Peer:
    offer = ModelOffer(model=f"model-{name}", family="", context_tokens=1)
    advert = Advert(
        node=NodeId(name), network="n", incarnation=1, sequence=1, issued_at=0.0, ttl=1.0, version="1", offers=(offer,)
    )
    return Peer(advert=advert, liveness=liveness, round_trip=trip, reason=reason)


def test_slower_nodes_are_further_out_and_silent_ones_at_the_rim() -> None:
    far = [distance(trip) for trip in (0.0, 0.001, 0.02, 0.2, 9.0, None)]
    assert far == sorted(far)
    assert (far[0], far[-1]) == (INNER, OUTER)


def test_dead_never_looks_idle() -> None:
    assert peer_kind(peer("a")) == ""
    assert peer_kind(peer("a", reason="no answer for 5 s")) == "standby"
    assert peer_kind(peer("a", liveness=Liveness.SUSPECT)) == "standby"
    assert peer_kind(peer("a", liveness=Liveness.DEAD)) == "off"
    assert peer_kind(peer("a", liveness=Liveness.DEPARTED)) == "off"


def test_a_crowd_is_drawn_inside_the_picture_and_bounded() -> None:
    placed = spots([peer(f"node{n}", trip=None) for n in range(10_000)], ["own"])
    assert len(placed) == MOST
    assert all(0 < spot.x < WIDTH and 0 < spot.y < HEIGHT for spot in placed)
    assert len({(round(spot.x), round(spot.y)) for spot in placed}) == MOST


def test_nobody_is_no_spot() -> None:
    assert spots([], []) == []


def test_a_node_without_a_name_goes_by_its_model() -> None:
    assert peer_name(peer("12D3KooW")) == "model-12D3KooW"
