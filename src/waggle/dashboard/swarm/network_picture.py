"""Draws who is how far away: this node in the middle, the others around it, nearer where they answer faster."""

from collections.abc import Sequence

from waggle.core.mesh_values import Peer
from waggle.core.words import many
from waggle.dashboard.frame.elements import box, drawing, shape, words
from waggle.dashboard.frame.theme import COMB
from waggle.dashboard.swarm.network_layout import (
    HEIGHT,
    MIDDLE_X,
    MIDDLE_Y,
    MOST,
    WIDTH,
    Own,
    Ring,
    Spot,
    rings,
    spots,
)

LEGEND = (("peer", "usable"), ("peer standby", "standby"), ("peer off", "not reachable"), ("peer own", "model here"))
COMB_SCALE = 1.5
BELOW = 29.0
"""From the middle to the words under the comb."""
MOST_NAMED = 5
"""Rings of which each has its name; of more every other one."""


def draw_network(peers: Sequence[Peer], own: Sequence[Own]) -> None:
    """Draw it, with a legend."""
    placed = spots(peers, own)
    label = f"Network: this node, {many(len(peers), 'peer')}, {many(len(own), 'model')} in this process"
    with drawing(WIDTH, HEIGHT, label, "network"):
        drawn = rings(peers)
        for ring in drawn:
            shape("circle", "ring", cx=MIDDLE_X, cy=MIDDLE_Y, r=ring.radius)
        for spot in placed:
            shape("line", f"edge {spot.kind}", x1=MIDDLE_X, y1=MIDDLE_Y, x2=spot.x, y2=spot.y)
            shape("line", "pointer", x1=spot.x, y1=spot.y, x2=spot.name_x, y2=spot.name_y)
        for ring in drawn[:: 1 + (len(drawn) > MOST_NAMED)]:
            _ring_name(ring)
        for spot in placed:
            _spot(spot)
        corner = -12 * COMB_SCALE
        place = f"translate({MIDDLE_X + corner} {MIDDLE_Y + corner}) scale({COMB_SCALE})"
        shape("path", "self", d=COMB, transform=place)
        words("this node", "mid soft own-name", "text", x=f"{MIDDLE_X:.1f}", y=f"{MIDDLE_Y + BELOW:.1f}")
    _legend({f"peer {spot.kind}".strip() for spot in placed})
    shown = len(peers) or len(own)
    if shown > MOST:
        words(f"{MOST} of {shown:,} are drawn.", "dim small", "p")


def _spot(spot: Spot) -> None:
    with shape("circle", f"peer {spot.kind}", cx=spot.x, cy=spot.y, r=spot.size):
        words(f"{spot.name} {spot.note}".strip(), "", "title")
    side, x = ("", spot.name_x + 4) if spot.right else ("end", spot.name_x - 4)
    y = spot.name_y + (4 if not spot.note else -2)
    words(spot.name, side, "text", x=f"{x:.1f}", y=f"{y:.1f}")
    if spot.note:
        words(spot.note, f"{side} soft", "text", x=f"{x:.1f}", y=f"{y + 14:.1f}")


def _ring_name(ring: Ring) -> None:
    words(ring.note, "mid soft", "text", x=f"{MIDDLE_X:.1f}", y=f"{MIDDLE_Y - ring.radius + 4:.1f}")


def _legend(kinds: set[str]) -> None:
    with box("legend", aria_hidden="true"):
        with box("row named", "span"):
            with drawing(24, 24, "").style("width: 15px"):
                shape("path", "self", d=COMB)
            words("this node")
        for kind, name in (each for each in LEGEND if each[0] in kinds):
            with box("row named", "span"):
                with drawing(14, 14, "").style("width: 14px"):
                    shape("circle", kind, cx=7.0, cy=7.0, r=5.0)
                words(name)
