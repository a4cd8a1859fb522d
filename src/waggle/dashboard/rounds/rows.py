"""The rows of a round: one a proposer, with what it is at; one a candidate, with its odds and its supporters."""

from collections.abc import Mapping

from waggle.core.round_picture import CandidatePicture, Part, Phase, ProposerPicture, RoundPicture
from waggle.core.words import many
from waggle.dashboard.frame.elements import box, words
from waggle.dashboard.frame.words import duration, one_line, percent, short_id, with_names
from waggle.node.observing.names import names_of

EMPTY = "Equal answers become one candidate when all proposals are in."
REASON = 160  # characters
SAYS = {
    Part.WAITING: "waits",
    Part.THINKING: "is thinking …",
    Part.COMMITTED: "has committed to its answer",
    Part.FAILED: "gave no answer",
    Part.SKIPPED: "was not needed",
}
SAID = {Part.ANSWERED: "said cut", Part.FAILED: "said words bad-words"}
"""A reason is shown whole, an answer on one line."""


class ProposerRows:
    """The proposers, in the plan's order."""

    def __init__(self) -> None:
        """Build an empty list where elements are being put just now."""
        self._rows: dict[str, _Proposer] = {}
        self._list = box("proposers", "div", role="list")
        self._standby = words("", "dim small", "p")

    def show(self, picture: RoundPicture) -> None:
        """Bring every row up to date; make those that are missing."""
        names = names_of(picture.plan)
        shown = {proposer.node: proposer for proposer in picture.proposers}
        for node, proposer in shown.items():
            if node not in self._rows:
                with self._list:
                    self._rows[node] = _Proposer(proposer, names)
            self._rows[node].show(proposer, names)
        for name, row in self._rows.items():
            row.box.set_visibility(name in shown)
        self._standby.text = f"{many(picture.standby, 'more node')} on standby" if picture.standby else ""


class _Proposer:
    def __init__(self, proposer: ProposerPicture, names: Mapping[str, str]) -> None:
        with box("proposer", role="listitem") as self.box:
            self._dot = box("dot", "span", aria_hidden="true")
            words(short_id(names.get(proposer.node, proposer.node)), "who cut", title=one_line(proposer.node, 200))
            self._said = words("", "said cut")
            self._note = words("", "note dim small num")

    def show(self, proposer: ProposerPicture, names: Mapping[str, str]) -> None:
        self._dot.classes(replace=f"dot {'judging' if proposer.judging else proposer.part.value.split()[0]}")
        self._said.text = said(proposer, names)
        self._said.classes(replace=SAID.get(proposer.part, "said cut dim"))
        self._note.text = note(proposer)


def said(proposer: ProposerPicture, names: Mapping[str, str]) -> str:
    """Its answer, or what keeps it from one."""
    if proposer.proposal is not None:
        return one_line(proposer.proposal.answer, 200) or "(an empty answer)"
    if proposer.part is Part.FAILED and proposer.reason:
        return one_line(with_names(proposer.reason, names), REASON)
    return SAYS.get(proposer.part, "")


def note(proposer: ProposerPicture) -> str:
    """How sure it is of itself, how long it took, how many ballots it cast."""
    parts = []
    if proposer.proposal is not None:
        if proposer.proposal.self_confidence is not None:
            parts.append(f"{percent(proposer.proposal.self_confidence)} sure")
        parts.append(duration(proposer.proposal.seconds))
        if proposer.reason:
            parts.append("judging failed")
    if proposer.ballots:
        parts.append(many(proposer.ballots, "ballot"))
    return " · ".join(parts)


class CandidateRows:
    """The candidates, with a bar as long as their odds; the strongest comes first without being moved in the page."""

    def __init__(self) -> None:
        """Build an empty list where elements are being put just now."""
        self._rows: dict[int, _Candidate] = {}
        self._empty = words(EMPTY, "dim small", "p")
        self._list = box("stack candidates", role="list").style("gap: 0")

    def show(self, picture: RoundPicture) -> None:
        """Bring every row up to date; make those that are missing."""
        leads, names = leader_look(picture), names_of(picture.plan)
        for place, candidate in enumerate(picture.candidates):
            if candidate.number not in self._rows:
                with self._list:
                    self._rows[candidate.number] = _Candidate()
            self._rows[candidate.number].show(candidate, leads if place == 0 else "", place, names)
        shown = {candidate.number for candidate in picture.candidates}
        for number, row in self._rows.items():
            row.box.set_visibility(number in shown)
        self._empty.set_visibility(not shown)
        self._empty.text = "Nobody proposed an answer." if picture.phase is Phase.DONE else EMPTY


def leader_look(picture: RoundPicture) -> str:
    """The look of the strongest: one that the swarm is not sure enough of is no winner."""
    return "first unsure" if picture.outcome is not None and picture.outcome.abstained else "first"


class _Candidate:
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
