"""What a scripted engine is told to be: how good, how fast, how honest. Values only, plus the hash that draws lots."""

import hashlib

from msgspec import Struct


class Honest(Struct, frozen=True, tag=True):
    """Answers and judges as well as its skill allows."""


class Shill(Struct, frozen=True, kw_only=True, tag=True):
    """Proposes one answer whatever the truth, and prefers it in every pair that holds it.

    A ring is several shills with the same `wrong_choice` (the wrong answer of that number, question by question) or
    the same fixed `answer`. With neither, it answers like an honest engine but always prefers its own answer.
    """

    answer: str | None = None
    wrong_choice: int | None = None


class Babbler(Struct, frozen=True, tag=True):
    """Writes garbage; its verdicts cannot be read."""


class Mute(Struct, frozen=True, tag=True):
    """Writes nothing; its verdicts are empty."""


class Crasher(Struct, frozen=True, kw_only=True, tag=True):
    """Raises EngineUnavailable from the call after `after_calls` good ones on."""

    after_calls: int = 0


class Hanger(Struct, frozen=True, kw_only=True, tag=True):
    """Never comes back, until cancelled or closed, from the call after `after_calls` good ones on."""

    after_calls: int = 0


Conduct = Honest | Shill | Babbler | Mute | Crasher | Hanger


class Script(Struct, frozen=True, kw_only=True):
    """One engine's part in a play.

    Attributes:
        name: the model's name on its card.
        seed: two engines with different seeds err on different questions.
        skill: probability that an answer is right, for kinds without an entry in `skills`.
        skills: the same by kind of question.
        wrong_choices: how many different wrong answers a question has; 1 makes all who err agree.
        judge_skill: probability that of a right and a wrong proposal the right one is preferred.
        judge_confidence: the P stated for the preferred one, in [0.5, 1].
        position_bias: share of pairs decided by place alone, in [-1, 1]; positive prefers the first.
        unreadable: share of verdicts that cannot be read (p = None).
        seconds_per_call: slept before the first token.
        seconds_per_token: slept before every token.
        answer_marker: written before the answer; None writes nothing but the answer.
        tool_call: the tool that it calls where that is offered and the last turn is no tool's; None calls none.
        tool_arguments: what it calls it with, JSON text.
        conduct: how it misbehaves.
    """

    name: str = "scripted"
    seed: int = 0
    skill: float = 0.8
    skills: dict[str, float] = {}
    wrong_choices: int = 4
    judge_skill: float = 0.8
    judge_confidence: float = 0.9
    position_bias: float = 0.0
    unreadable: float = 0.0
    seconds_per_call: float = 0.0
    seconds_per_token: float = 0.0
    answer_marker: str | None = "Answer:"
    tool_call: str | None = None
    tool_arguments: str = "{}"
    conduct: Conduct = Honest()


def share(*what: str | int | float) -> float:
    """A number in [0, 1) drawn by hashing: the same for the same arguments, on every machine, in any order of calls."""
    digest = hashlib.sha256(repr(what).encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48
