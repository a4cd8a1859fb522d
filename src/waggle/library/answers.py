"""What a program is given for its question: the answer, how sure the swarm is, and the record of how it was found."""

from msgspec import Struct

from waggle.core.round_values import CandidateResult, Record


class Answer(Struct, frozen=True):
    """The answer to one question; `record` holds all that led to it."""

    record: Record

    @property
    def text(self) -> str | None:
        """The answer: the best guess where the swarm abstained, None where nothing that was written can be used."""
        return self.record.outcome.answer

    @property
    def confidence(self) -> float:
        """P(the answer is right), in [0, 1]; a guess where nothing was measured of the models."""
        return self.record.outcome.confidence

    @property
    def abstained(self) -> bool:
        """Whether the swarm is not as sure as was asked for."""
        return self.record.outcome.abstained

    @property
    def candidates(self) -> tuple[CandidateResult, ...]:
        """What was proposed, equal answers together, the strongest first."""
        return self.record.outcome.candidates

    @property
    def tokens(self) -> int:
        """What it cost: tokens of all calls, prompts and wasted ones included."""
        return self.record.used_tokens

    def __str__(self) -> str:
        """The answer in words, or that there is none."""
        sure = "not sure enough; best guess: " if self.abstained else ""
        return "no answer" if self.text is None else f"{sure}{self.text}"
