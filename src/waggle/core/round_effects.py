"""What a round asks of those who carry it out: things to be done, in the imperative. None of it is on record."""

from msgspec import Struct

from waggle.core.chat_values import Turn
from waggle.core.engine_values import JudgeMethod, Sampling
from waggle.core.ids import NodeId
from waggle.core.round_values import Outcome


class AskProposal(Struct, frozen=True, kw_only=True):
    """Ask a node for an answer of at most `max_tokens` tokens."""

    node: NodeId
    question: str
    max_tokens: int
    sampling: Sampling
    model: str = ""
    turns: tuple[Turn, ...] = ()


class AskReveal(Struct, frozen=True, kw_only=True):
    """Ask a node for the answer that it has committed to."""

    node: NodeId


class CancelProposal(Struct, frozen=True, kw_only=True):
    """Stop a node's work on its proposal."""

    node: NodeId


class AskBallot(Struct, frozen=True, kw_only=True):
    """Ask a judge to compare two candidates, shown as these words in this order."""

    judge: NodeId
    question: str
    first: int
    second: int
    first_text: str
    second_text: str
    method: JudgeMethod
    max_tokens: int
    seed: int
    model: str = ""
    turns: tuple[Turn, ...] = ()


class SetTimer(Struct, frozen=True, kw_only=True):
    """Deliver `DeadlinePassed(phase)` at `at` seconds since the round began."""

    phase: str
    at: float


class CancelAll(Struct, frozen=True, kw_only=True):
    """Stop everything that is still being worked on."""


class Finish(Struct, frozen=True, kw_only=True):
    """The round is over; `outcome` is final."""

    outcome: Outcome


Effect = AskProposal | AskReveal | CancelProposal | AskBallot | SetTimer | CancelAll | Finish
