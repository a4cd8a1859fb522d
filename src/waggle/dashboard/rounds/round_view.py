"""A round as it looks at one moment, live or replayed: phases, proposers, candidates with their strengths, ballots.

The view is built once and then changed in place, so that bars move and nothing flickers.
"""

from collections.abc import Sequence

from waggle.core.round_picture import Part, Phase, RoundPicture
from waggle.core.round_values import Event
from waggle.core.words import many
from waggle.dashboard.frame.elements import box, words
from waggle.dashboard.frame.words import duration, percent
from waggle.dashboard.rounds.ballot_strip import BallotStrip
from waggle.dashboard.rounds.event_words import event_words
from waggle.dashboard.rounds.rows import CandidateRows, ProposerRows
from waggle.node.observing.names import names_of

STEPS = ("Propose", "Rank", "Decide")
PLACES = {Phase.WAITING: 0, Phase.PROPOSE: 0, Phase.RANK: 1, Phase.DONE: 3}
FEED = 4  # events told


class RoundView:
    """The view; `show` brings it up to date."""

    def __init__(self) -> None:
        """Build it where elements are being put just now."""
        with box("stack round"):
            with box("steps", "ol", aria_label="Phases of the round"):
                self._steps = [_Step(name) for name in STEPS]
            with box("grid2"):
                with box("card", "section", aria_label="Proposers"):
                    words("Proposers", "section-title", "h2")
                    self._proposers = ProposerRows()
                with box("card", "section", aria_label="Candidates"):
                    words("Candidates and their strengths", "", "h2")
                    words("A bar is as long as the candidate's odds against the leader.", "card-note", "p")
                    self._candidates = CandidateRows()
            with box("card ballots", "section", aria_label="Ballots"):
                with box("row apart"):
                    words("Ballots", "section-title", "h2")
                    self._counted = words("", "dim small num")
                self._strip = BallotStrip()
                with box("feed"):
                    self._feed = [words("", "cut", "div") for _ in range(FEED)]
            self._said = words("", "sr", "div", role="status", aria_live="polite")

    def show(self, picture: RoundPicture, events: Sequence[Event]) -> None:
        """Show this moment; `events` are those that have happened, the newest last."""
        place = PLACES[picture.phase]
        for step, note, state in zip(self._steps, step_notes(picture), step_states(picture), strict=True):
            step.show(note, state)
        self._proposers.show(picture)
        self._candidates.show(picture)
        self._strip.show(picture)
        self._counted.text = ballot_words(picture)
        answers = {candidate.number: candidate.answer for candidate in picture.candidates}
        names = names_of(picture.plan)
        newest = [event_words(event, answers, names) for event in reversed(events[-FEED:])]
        for line, text in zip(self._feed, [*newest, *[""] * FEED], strict=False):
            line.text = text
        self._said.text = f"{STEPS[min(place, 2)]}: {step_notes(picture)[min(place, 2)]}" if place != 1 else "Ranking"


class _Step:
    def __init__(self, name: str) -> None:
        with box("step", "li") as self._box:
            words(name)
            self._note = words("", "step-note num")

    def show(self, note: str, state: str) -> None:
        self._note.text = note
        self._box.classes(replace=f"step {state}")


def step_notes(picture: RoundPicture) -> tuple[str, str, str]:
    """How far each phase is."""
    made = sum(proposer.part is Part.ANSWERED for proposer in picture.proposers)
    bound = sum(proposer.part is Part.COMMITTED for proposer in picture.proposers)
    proposed = f"{made} of {len(picture.proposers)} in" + (f", {bound} committed" if bound else "")
    arrived = picture.count.cast + picture.count.unparseable + picture.count.refused
    ranked = f"{arrived} of {picture.count.asked} ballots" if picture.count.asked else ""
    return proposed, ranked, _ending(picture)


def _ending(picture: RoundPicture) -> str:
    if picture.outcome is None:
        return ""
    if picture.outcome.answer is None:
        return f"no answer, {duration(picture.at)}"
    sure = percent(picture.outcome.confidence)
    return f"{f'not sure, {sure}' if picture.outcome.abstained else sure}, {duration(picture.at)}"


def step_states(picture: RoundPicture) -> tuple[str, str, str]:
    """How each phase stands: done, now, to come (""), ended unsure, or bad where a round failed in it."""
    outcome, place = picture.outcome, PLACES[picture.phase]
    if outcome is not None and outcome.answer is None:
        proposed = any(proposer.part is Part.ANSWERED for proposer in picture.proposers)
        return ("done" if proposed else "bad", "bad" if proposed and picture.count.asked else "", "bad")
    propose, rank, decide = ("done" if index < place else "now" if index == place else "" for index in range(3))
    return propose, rank, "unsure" if outcome is not None and outcome.abstained else decide


def ballot_words(picture: RoundPicture) -> str:
    """How many ballots were asked for, and what became of them."""
    count = picture.count
    if not count.asked:
        return "none asked for" if picture.phase is Phase.DONE else "none yet"
    lost = [
        many(number, name)
        for number, name in ((count.unparseable, "unreadable one"), (count.refused, "refused one"))
        if number
    ]
    return ", ".join([f"{count.cast} of {count.asked} counted", *lost])
