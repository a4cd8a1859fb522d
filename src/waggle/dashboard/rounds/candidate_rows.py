"""One row a candidate: its words, a bar as long as its odds against the strongest, and who stands behind it."""

from collections.abc import Mapping

from waggle.core.round_picture import CandidatePicture, Phase, RoundPicture
from waggle.dashboard.frame.elements import box, words
from waggle.dashboard.frame.words import one_line, short_id
from waggle.node.observing.names import names_of

EMPTY = "Equal answers become one candidate when all proposals are in."


class CandidateRows:
    """The rows; the strongest is shown first without being moved in the page."""

    def __init__(self) -> None:
        """Build an empty list where elements are being put just now."""
        self._rows: dict[int, _Row] = {}
        self._empty = words(EMPTY, "dim small", "p")
        self._list = box("stack candidates", role="list").style("gap: 0")

    def show(self, picture: RoundPicture) -> None:
        """Bring every row up to date; make those that are missing."""
        leads, names = leader_look(picture), names_of(picture.plan)
        for place, candidate in enumerate(picture.candidates):
            if candidate.number not in self._rows:
                with self._list:
                    self._rows[candidate.number] = _Row()
            self._rows[candidate.number].show(candidate, leads if place == 0 else "", place, names)
        shown = {candidate.number for candidate in picture.candidates}
        for number, row in self._rows.items():
            row.box.set_visibility(number in shown)
        self._empty.set_visibility(not shown)
        self._empty.text = "Nobody proposed an answer." if picture.phase is Phase.DONE else EMPTY


def leader_look(picture: RoundPicture) -> str:
    """The look of the strongest: one that the swarm is not sure enough of is no winner."""
    return "first unsure" if picture.outcome is not None and picture.outcome.abstained else "first"


class _Row:
    def __init__(self) -> None:
        with box("candidate", role="listitem") as self.box:
            with box("candidate-head"):
                self._answer = words("", "cut")
                self._strength = words("", "dim small num")
            with box("track"):
                self._fill = box("fill")
            self._supporters = box("supporters")
        self._names: tuple[str, ...] = ()

    def show(self, candidate: CandidatePicture, look: str, place: int, names: Mapping[str, str]) -> None:
        self.box.style(f"order: {place}")
        self.box.classes(replace=f"candidate {look}")
        self._answer.text = one_line(candidate.answer, 300) or "(an empty answer)"
        self._strength.text = "" if candidate.strength is None else f"{candidate.strength:+.2f}".replace("-", "−")
        self._fill.style(f"width: {100 * (candidate.odds or 0.0):.1f}%")
        if self._names != candidate.supporters:
            self._names = candidate.supporters
            self._supporters.clear()
            with self._supporters:
                for name in candidate.supporters:
                    words(short_id(names.get(name, name)), "chip", title=one_line(name, 200))
