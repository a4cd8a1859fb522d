"""One row a proposer: what it is at, what it said, how sure it is of itself."""

from collections.abc import Mapping

from waggle.core.round_picture import Part, ProposerPicture, RoundPicture
from waggle.core.words import many
from waggle.dashboard.frame.elements import box, words
from waggle.dashboard.frame.words import duration, one_line, percent, short_id, with_names
from waggle.node.observing.names import names_of

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
    """The rows, in the plan's order."""

    def __init__(self) -> None:
        """Build an empty list where elements are being put just now."""
        self._rows: dict[str, _Row] = {}
        self._list = box("proposers", "div", role="list")
        self._standby = words("", "dim small", "p")

    def show(self, picture: RoundPicture) -> None:
        """Bring every row up to date; make those that are missing."""
        names = names_of(picture.plan)
        shown = {proposer.node: proposer for proposer in picture.proposers}
        for node, proposer in shown.items():
            if node not in self._rows:
                with self._list:
                    self._rows[node] = _Row(proposer, names)
            self._rows[node].show(proposer, names)
        for name, row in self._rows.items():
            row.box.set_visibility(name in shown)
        self._standby.text = f"{many(picture.standby, 'more node')} on standby" if picture.standby else ""


class _Row:
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
