"""All ballots of a round as a strip of ticks: for the leader, for another, unreadable, refused, still to come."""

from nicegui.element import Element

from waggle.core.round_values import Ballot
from waggle.dashboard.elements import box, words
from waggle.node.picture import RoundPicture

MOST = 240
"""Ticks shown; past them the count alone tells."""
LEGEND = (
    ("leader", "for the leader"),
    ("cast", "for another"),
    ("unreadable", "unreadable"),
    ("refused", "refused"),
    ("", "open"),
)


class BallotStrip:
    """The ticks, in the order in which ballots came in."""

    def __init__(self) -> None:
        """Build an empty strip where elements are being put just now."""
        self._ticks: list[Element] = []
        self._strip = box("strip", aria_hidden="true")
        with box("legend", aria_hidden="true") as self._legend:
            for kind, name in LEGEND:
                with box("row", "span").style("gap: .35rem"):
                    box(f"tick {kind}", "span")
                    words(name)

    def show(self, picture: RoundPicture) -> None:
        """Bring every tick up to date."""
        kinds = tick_kinds(picture)
        with self._strip:
            while len(self._ticks) < len(kinds):
                self._ticks.append(box("tick", "span"))
        for index, tick in enumerate(self._ticks):
            tick.set_visibility(index < len(kinds))
            tick.classes(replace=f"tick {kinds[index]}" if index < len(kinds) else "tick hidden")
        self._legend.set_visibility(bool(kinds))


def tick_kinds(picture: RoundPicture) -> list[str]:
    """One word a ballot that was asked for; "" for those to come."""
    leader = picture.candidates[0].number if picture.candidates else None
    kinds = [_kind(ballot, leader) for ballot in picture.ballots]
    kinds += ["refused"] * picture.count.refused
    return (kinds + [""] * (picture.count.asked - len(kinds)))[:MOST]


def _kind(ballot: Ballot, leader: int | None) -> str:
    if ballot.p is None:
        return "unreadable"
    preferred = ballot.first if ballot.p > 0.5 else ballot.second
    return "leader" if preferred == leader and ballot.p != 0.5 else "cast"
