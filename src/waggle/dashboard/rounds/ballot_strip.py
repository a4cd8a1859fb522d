"""All ballots of a round as a strip of ticks: for the leader, against it, about others, unreadable, refused, open."""

from nicegui.element import Element

from waggle.core.round_picture import Phase, RoundPicture
from waggle.core.round_values import Ballot
from waggle.dashboard.frame.elements import box, words

MOST = 240
"""Ticks shown; past them the count alone tells."""
LEADER, AGAINST, OTHERS, UNREADABLE, REFUSED, OPEN = "leader", "against", "others", "unreadable", "refused", "open"
LEGEND = {
    LEADER: "for the leader",
    AGAINST: "against the leader",
    OTHERS: "about others, or even",
    UNREADABLE: "unreadable",
    REFUSED: "refused",
    OPEN: "still open",
}
LEFT_OPEN = "not needed any more"


class BallotStrip:
    """The ticks, in the order in which ballots came in; the legend names those that there are."""

    def __init__(self) -> None:
        """Build an empty strip where elements are being put just now."""
        self._ticks: list[Element] = []
        self._strip = box("strip", aria_hidden="true")
        self._named: dict[str, Element] = {}
        with box("legend", aria_hidden="true") as self._legend:
            for kind, name in LEGEND.items():
                with box("row named", "span") as self._named[kind]:
                    box(f"tick {kind}", "span")
                    self._last = words(name)

    def show(self, picture: RoundPicture) -> None:
        """Bring every tick up to date."""
        kinds = tick_kinds(picture)
        with self._strip:
            while len(self._ticks) < len(kinds):
                self._ticks.append(box("tick", "span"))
        for index, tick in enumerate(self._ticks):
            tick.set_visibility(index < len(kinds))
            tick.classes(replace=f"tick {kinds[index]}" if index < len(kinds) else "tick hidden")
        for kind, named in self._named.items():
            named.set_visibility(kind in kinds)
        self._last.text = LEFT_OPEN if picture.phase is Phase.DONE else LEGEND[OPEN]
        self._legend.set_visibility(bool(kinds))


def tick_kinds(picture: RoundPicture) -> list[str]:
    """What became of every ballot that was asked for."""
    leader = picture.candidates[0].number if picture.candidates else None
    kinds = [_kind(ballot, leader) for ballot in picture.ballots]
    kinds += [REFUSED] * picture.count.refused
    return (kinds + [OPEN] * (picture.count.asked - len(kinds)))[:MOST]


def _kind(ballot: Ballot, leader: int | None) -> str:
    if ballot.p is None:
        return UNREADABLE
    if leader not in (ballot.first, ballot.second) or ballot.p == 0.5:
        return OTHERS
    preferred = ballot.first if ballot.p > 0.5 else ballot.second
    return LEADER if preferred == leader else AGAINST
