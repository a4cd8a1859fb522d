"""Where nodes, their names and the rings go in the picture of the network. Pure.

This node is in the middle. The others are spread evenly by angle, so equal round trips do not collide, and are the
further out the longer a ping takes, by its logarithm. Names stand in two columns beside the picture, pushed apart.
"""

import math
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from waggle.core.mesh_values import Liveness, Peer
from waggle.dashboard.frame.words import duration, short_id

WIDTH, HEIGHT = 480.0, 300.0
MIDDLE_X, MIDDLE_Y = WIDTH / 2, HEIGHT / 2
RADIUS = 126.0
"""Distance of a node that does not answer: the rim."""
COLUMN = 139.0
"""Distance of the two columns of names from the middle."""
INNER, OUTER = 0.3, 0.88
"""The fastest and the slowest ring, as shares of the radius."""
EDGE = 10.0
"""Space above the first and below the last name."""
MOST = 40
ROOMY = 8
"""Names a column up to which there is room for a second line with the round trip."""
LINE, TWO_LINES = 14.0, 31.0
FASTEST_MS, SLOWEST_MS = 0.1, 10_000.0
NAME = 14  # characters
SMALL = 5.0
"""Radius of a node in a crowd."""


class Spot(Struct, frozen=True, kw_only=True):
    """Where a node is drawn, and how; its name stands at `name_x`, `name_y`, on the `right` or the left side."""

    x: float
    y: float
    kind: str
    name: str
    note: str = ""
    right: bool = True
    name_y: float = 0.0
    size: float = 8.0

    @property
    def name_x(self) -> float:
        """Where its column is."""
        return MIDDLE_X + (COLUMN if self.right else -COLUMN)


class Ring(Struct, frozen=True):
    """A circle on which answers take `note`; `radius` in units of the picture."""

    radius: float
    note: str


class Own(Struct, frozen=True):
    """A model of this process; `down` says why it cannot be used now."""

    name: str
    down: str = ""


def spots(peers: Sequence[Peer], own: Sequence[Own] = ()) -> list[Spot]:
    """The places of all peers; without any, of this process's own models, which are no distance away."""
    if not peers:
        nodes = [(each.name, "off" if each.down else "own", OUTER, "down" if each.down else "") for each in own]
    else:
        fast, slow = decades(peers)
        nodes = [
            (peer_name(peer), peer_kind(peer), distance(peer.round_trip, fast, slow), _note(peer)) for peer in peers
        ]
    count = min(len(nodes), MOST)
    placed = [_spot(angle_of(index, count), *node) for index, node in enumerate(nodes[:MOST])]
    return [*_column(placed, right=True), *_column(placed, right=False)]


def angle_of(index: int, count: int) -> float:
    """Evenly spread, none straight up, where the rings' labels are; in radians, 0 to the right, clockwise."""
    return 0.0 if count == 1 else 2 * math.pi * (index + 0.5) / count - math.pi / 2


def decades(peers: Sequence[Peer]) -> tuple[float, float]:
    """The powers of ten, in milliseconds, between which all round trips are: 0.2 to 30 ms gives (0.1, 100)."""
    trips = [_ms(peer.round_trip) for peer in peers if peer.round_trip is not None] or [1.0]
    fast = 10.0 ** math.floor(math.log10(min(trips)) + 1e-9)
    slow = 10.0 ** math.ceil(math.log10(max(trips)) - 1e-9)
    return fast, max(slow, 10 * fast)


def distance(round_trip: float | None, fast_ms: float, slow_ms: float) -> float:
    """How far out a node is drawn, as a share of the radius; one that never answered is at the rim."""
    if round_trip is None:
        return 1.0
    share = math.log(_ms(round_trip) / fast_ms) / math.log(slow_ms / fast_ms)
    return INNER + (OUTER - INNER) * min(1.0, max(0.0, share))


def rings(peers: Sequence[Peer]) -> list[Ring]:
    """One ring every power of ten of the round trip; none where there is nobody to measure."""
    if not any(peer.round_trip is not None for peer in peers):
        return []
    fast, slow = decades(peers)
    steps = round(math.log10(slow / fast))
    trips = [fast * 10**step / 1_000 for step in range(steps + 1)]
    return [Ring(RADIUS * distance(trip, fast, slow), _round_words(trip)) for trip in trips]


def peer_name(peer: Peer) -> str:
    """What it calls itself, else the name of its model, else its id."""
    models = [offer.model for offer in peer.advert.offers]
    return peer.advert.name or (models[0] if models else peer.node)


def peer_kind(peer: Peer) -> str:
    """How it is drawn: usable, standing by (alive, and not chosen for a reason), or off."""
    if peer.liveness in (Liveness.DEAD, Liveness.DEPARTED):
        return "off"
    return "standby" if peer.reason or peer.liveness is Liveness.SUSPECT else ""


def _spot(angle: float, name: str, kind: str, far: float, note: str) -> Spot:
    x, y = math.cos(angle) * far * RADIUS, math.sin(angle) * far * RADIUS
    return Spot(
        x=MIDDLE_X + x, y=MIDDLE_Y + y, kind=kind, name=short_id(name, NAME), note=note, right=math.cos(angle) > -1e-9
    )


def _column(placed: Sequence[Spot], *, right: bool) -> list[Spot]:
    """The nodes of one side from above to below, with their names as near to them as there is room."""
    mine = sorted((spot for spot in placed if spot.right is right), key=lambda spot: spot.y)
    crowded = len(mine) > ROOMY
    heights = spaced([spot.y for spot in mine], LINE if crowded else TWO_LINES, EDGE, HEIGHT - EDGE)
    looks = {"note": "", "size": SMALL} if crowded else {}
    return [replace(spot, name_y=y, **looks) for spot, y in zip(mine, heights, strict=True)]


def spaced(wanted: Sequence[float], gap: float, least: float, most: float) -> list[float]:
    """Places at least `gap` apart within the bounds, in the order given: pushed down, then up again from below."""
    if not wanted:
        return []
    gap = min(gap, (most - least) / max(1, len(wanted) - 1))
    placed = [least + gap * index for index in range(len(wanted))]
    for index, place in enumerate(wanted):
        placed[index] = max(place, placed[index], placed[index - 1] + gap if index else least)
    for index in reversed(range(len(placed))):
        placed[index] = min(placed[index], most - gap * (len(placed) - 1 - index))
    return placed


def _ms(round_trip: float) -> float:
    return min(SLOWEST_MS, max(FASTEST_MS, 1_000 * round_trip))


def _round_words(seconds: float) -> str:
    return f"{seconds:g} s" if seconds >= 1 else f"{1_000 * seconds:g} ms"


def _note(peer: Peer) -> str:
    return duration(peer.round_trip) if peer.round_trip is not None else "no answer"
