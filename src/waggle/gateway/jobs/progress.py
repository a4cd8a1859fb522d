"""What can be said of a round while it runs: how far it is, and the best draft so far. Pure."""

from collections import Counter

from waggle.core.round_picture import RoundPicture


def progress_of(picture: RoundPicture) -> str:
    """How far a round is, in a line that holds nothing but numbers: "proposals 3 of 7, ballots 12 of 40"."""
    made = sum(proposer.proposal is not None for proposer in picture.proposers)
    asked, ballots = max(made, len(picture.plan.proposers)), len(picture.ballots)
    return f"proposals {made} of {asked}, ballots {ballots} of {max(ballots, picture.count.asked)}"


def draft_of(picture: RoundPicture) -> str | None:
    """The answer that leads so far; None where there is none. Only the end of the round says which one wins.

    Before candidates are known the most frequent answer leads, then the strongest of them.
    """
    if picture.candidates:
        return picture.candidates[0].answer
    made = Counter(proposer.proposal.answer for proposer in picture.proposers if proposer.proposal is not None)
    return made.most_common(1)[0][0] if made else None
