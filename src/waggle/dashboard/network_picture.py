"""Who is how far away: this node in the middle, the others around it, nearer where they answer faster."""

import math
from collections.abc import Sequence

from msgspec import Struct

from waggle.core.mesh_values import Liveness, Peer
from waggle.dashboard.elements import box, drawing, shape, words
from waggle.dashboard.words import duration, many, short_id

WIDTH, HEIGHT = 430.0, 340.0
ACROSS, DOWN = WIDTH / 2 - 58, HEIGHT / 2 - 38
"""Half the space for nodes; the rest is for their names."""
NEAR_SECONDS, FAR_SECONDS = 0.001, 0.5
INNER, OUTER = 0.45, 1.0
"""Rings on which a node at 1 ms and one at half a second or without an answer are drawn, as shares of the space."""
MOST = 40
LEGEND = (("peer", "usable"), ("peer standby", "standby"), ("peer off", "not reachable"), ("peer own", "model here"))


class Spot(Struct, frozen=True, kw_only=True):
    """Where a node is drawn, and how."""

    x: float
    y: float
    kind: str
    name: str
    note: str = ""


def spots(peers: Sequence[Peer], own: Sequence[str] = ()) -> list[Spot]:
    """The places of all peers, and of the engines of this process, which are no distance away; at most `MOST`."""
    shown = [(name, "own", INNER, "") for name in own]
    shown += [(peer_name(peer), peer_kind(peer), distance(peer.round_trip), _note(peer)) for peer in peers]
    made = []
    for index, (name, kind, far, note) in enumerate(shown[:MOST]):
        angle = 2 * math.pi * index / min(len(shown), MOST) - math.pi / 2
        if kind == "own" and not peers:
            far = 0.8
        x = WIDTH / 2 + math.cos(angle) * far * ACROSS
        y = HEIGHT / 2 + math.sin(angle) * far * DOWN
        made.append(Spot(x=x, y=y, kind=kind, name=short_id(name, 16), note=note))
    return made


def distance(round_trip: float | None) -> float:
    """How far out a node is drawn, in [INNER, OUTER], by the logarithm of its round-trip time."""
    if round_trip is None:
        return OUTER
    seconds = min(FAR_SECONDS, max(NEAR_SECONDS, round_trip))
    share = math.log(seconds / NEAR_SECONDS) / math.log(FAR_SECONDS / NEAR_SECONDS)
    return INNER + (OUTER - INNER) * share


def peer_name(peer: Peer) -> str:
    """What it calls itself, else the name of its model, else its id."""
    models = [offer.model for offer in peer.advert.offers]
    return peer.advert.name or (models[0] if models else peer.node)


def peer_kind(peer: Peer) -> str:
    """How it is drawn: usable, standing by (alive, and not chosen for a reason), or off."""
    if peer.liveness in (Liveness.DEAD, Liveness.DEPARTED):
        return "off"
    return "standby" if peer.reason or peer.liveness is Liveness.SUSPECT else ""


def draw_network(peers: Sequence[Peer], own: Sequence[str]) -> None:
    """Draw it, with a legend."""
    placed = spots(peers, own)
    label = f"Network: this node, {many(len(peers), 'peer')}, {many(len(own), 'model')} in this process"
    with drawing(WIDTH, HEIGHT, label, "network"):
        for share in (INNER, (INNER + OUTER) / 2, OUTER):
            shape(
                "ellipse",
                "ring",
                cx=WIDTH / 2,
                cy=HEIGHT / 2,
                rx=share * ACROSS,
                ry=share * DOWN,
            )
        for spot in placed:
            shape("line", f"edge {spot.kind}", x1=WIDTH / 2, y1=HEIGHT / 2, x2=spot.x, y2=spot.y)
        for spot in placed:
            _spot(spot)
        shape("circle", "self", cx=WIDTH / 2, cy=HEIGHT / 2, r=17.0)
        words("here", "mid", "text", x=f"{WIDTH / 2}", y=f"{HEIGHT / 2 + 33}")
    with box("legend", aria_hidden="true"):
        drawn = {f"peer {spot.kind}".strip() for spot in placed}
        for kind, name in (each for each in LEGEND if each[0] in drawn):
            with box("row", "span").style("gap: .35rem"):
                with drawing(14, 14, "").style("width: 14px"):
                    shape("circle", kind, cx=7.0, cy=7.0, r=5.0)
                words(name)
    if len(peers) + len(own) > MOST:
        words(f"{MOST} of {len(peers) + len(own)} are drawn; the list below has all.", "dim small", "p")


def _spot(spot: Spot) -> None:
    shape("circle", f"peer {spot.kind}", cx=spot.x, cy=spot.y, r=10.0)
    words(spot.name, "mid", "text", x=f"{spot.x:.1f}", y=f"{spot.y + 25:.1f}")
    if spot.note:
        words(spot.note, "mid soft", "text", x=f"{spot.x:.1f}", y=f"{spot.y - 16:.1f}")


def _note(peer: Peer) -> str:
    return duration(peer.round_trip) if peer.round_trip is not None else ""
