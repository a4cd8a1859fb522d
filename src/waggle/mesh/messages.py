"""What nodes say to each other during a round, one frozen struct per kind; `codec` signs and carries them.

A round is one stream per participant (`ROUND_PROTOCOL`): the coordinator asks, the participant commits, reveals and
casts ballots as they are made; closing the stream stops all work for that round. A client's question is one stream to
a node (`ASK_PROTOCOL`): the coordinator sends the plan, every event as it is accepted, and the outcome, so that the
client can replay the round and need not believe the outcome.

Sizes are checked twice: every frame as a whole before decoding, every field's own limit by the types below.
"""

from typing import Annotated

from msgspec import Meta, Struct

from waggle.core.chat_values import Turn
from waggle.core.engine_values import GenerateRequest, Generation, JudgeMethod, Sampling
from waggle.core.round_values import Budget, Event, Outcome, Plan
from waggle.mesh.limits import KIB

ROUND_PROTOCOL = "/waggle/round/1"
ASK_PROTOCOL = "/waggle/ask/1"
MODEL_PROTOCOL = "/waggle/model/1"

Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
MAX_SECONDS = 1e7
MAX_TOKENS = 2**40
Seconds = Annotated[float, Meta(ge=0.0, le=MAX_SECONDS)]
Tokens = Annotated[int, Meta(ge=0, le=MAX_TOKENS)]
Candidate = Annotated[int, Meta(ge=0, lt=64)]
"""A candidate's number; a round has at most 64 proposals."""
# Lengths of texts are in characters here; the round counts the bytes of what it takes up.
Text = Annotated[str, Meta(max_length=64 * KIB)]
LongText = Annotated[str, Meta(max_length=256 * KIB)]
ShortText = Annotated[str, Meta(max_length=4 * KIB)]
Name = Annotated[str, Meta(max_length=256)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Logprob = Annotated[float, Meta(ge=-1e9, le=1e3)]
Coordinate = Annotated[float, Meta(ge=-2.0, le=2.0)]
Vector = Annotated[tuple[Coordinate, ...], Meta(min_length=1, max_length=16_384)]
Turns = Annotated[tuple[Turn, ...], Meta(max_length=512)]
Id = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]


# --- coordinator to participant -------------------------------------------------------------------------------------


class PleasePropose(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="propose"):
    """Answer this; commit to the answer first. The same request asked again (another coordinator) is the same work."""

    request: Id
    question: Text
    max_tokens: Tokens
    sampling: Sampling
    seconds: Seconds
    """How long the answer will be waited for."""
    model: Name = ""
    """Which of the node's models; empty leaves it the choice."""
    turns: Turns = ()


class PleaseStop(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="stop"):
    """Work on the proposal no further; it would come too late. Ballots are still wanted."""


class PleaseReveal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="reveal_please"):
    """All commitments are in: show what you committed to."""


class Pair(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two candidates to be compared, as these words in this order."""

    first: Candidate
    second: Candidate
    first_text: Text
    second_text: Text
    method: JudgeMethod
    seed: Seed


class PleaseJudge(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="judge"):
    """Compare these pairs; every ballot is sent as soon as it is made."""

    request: Id
    question: Text
    max_tokens: Tokens
    pairs: Annotated[tuple[Pair, ...], Meta(min_length=1, max_length=64)]
    seconds: Seconds
    model: Name = ""
    turns: Turns = ()


# --- participant to coordinator -------------------------------------------------------------------------------------


class Committed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="commit"):
    """The answer is made; `digest` (SHA-256, hex) binds its sender to it."""

    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    tokens: Tokens = 0


class Revealed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="reveal"):
    """The answer that was committed to, and the nonce (hex) that was hashed with it."""

    answer: Text
    nonce: Id
    trace: LongText = ""
    self_confidence: Probability | None = None
    tokens: Tokens = 0
    prompt_tokens: Tokens = 0
    seconds: Seconds = 0.0


class CastBallot(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ballot"):
    """P(first is better than second); None where the verdict could not be read."""

    first: Candidate
    second: Candidate
    p: Probability | None
    reason: ShortText = ""
    tokens: Tokens = 0
    prompt_tokens: Tokens = 0
    seconds: Seconds = 0.0


class CannotPropose(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="no_proposal"):
    """No answer; `retry_after` in seconds where the node is only full."""

    reason: ShortText
    retry_after: Seconds | None = None


class CannotJudge(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="no_ballot"):
    """No ballot on this pair; `retry_after` in seconds where the node is only full."""

    first: Candidate
    second: Candidate
    reason: ShortText
    retry_after: Seconds | None = None


class StillHere(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="still_here"):
    """Nothing new, but I am at it: sent where there is nothing else to say for a while."""


# --- client and coordinator -----------------------------------------------------------------------------------------


class PleaseAnswer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="question"):
    """A question to the whole swarm. Asked again with the same `request`, of any node, it is the same question."""

    request: Id
    question: Text
    strategy: Name = "committee"
    budget: Budget = Budget()
    min_confidence: Probability = 0.5
    max_tokens: Annotated[int, Meta(ge=1, le=2**20)] = 256
    sampling: Sampling = Sampling()
    seed: Seed = 0
    turns: Turns = ()
    proposers: Annotated[int, Meta(ge=1, le=64)] | None = None
    judges: Annotated[int, Meta(ge=0, le=64)] | None = None


class Planned(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="planned"):
    """The round begins."""

    plan: Plan


class Happened(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="happened"):
    """One accepted event of the round."""

    event: Event


class Answered(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="answered"):
    """The round is over; replaying the plan and the events gives this outcome."""

    outcome: Outcome


class CannotAnswer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="no_answer"):
    """The node cannot take the question; `retry_after` in seconds where it is only full."""

    reason: ShortText
    retry_after: Seconds | None = None


# --- one model alone --------------------------------------------------------------------------------------------------


class PleaseGenerate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="generate"):
    """One model is to answer, token by token; closing the stream stops it."""

    request: Id
    model: Name
    asked: GenerateRequest
    seconds: Seconds


class Wrote(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="wrote"):
    """Tokens that the model has written, in order: each text with its log-probability, if that is known."""

    tokens: Annotated[tuple[tuple[ShortText, Logprob | None], ...], Meta(min_length=1, max_length=256)]


class Generated(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="generated"):
    """The model has ended."""

    generation: Generation


class PleaseEmbed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="embed"):
    """One vector for each text."""

    request: Id
    model: Name
    texts: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=64)]
    seconds: Seconds


class Embedded(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="embedded"):
    """The vectors, one per text and in their order."""

    vectors: Annotated[tuple[Vector, ...], Meta(max_length=64)]


class CannotGenerate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="no_generation"):
    """The model cannot; `retry_after` in seconds where the node is only full. `final` where no other node could."""

    reason: ShortText
    retry_after: Seconds | None = None
    final: bool = False


Message = (
    PleasePropose
    | PleaseStop
    | PleaseReveal
    | PleaseJudge
    | Committed
    | Revealed
    | CastBallot
    | CannotPropose
    | CannotJudge
    | StillHere
    | PleaseAnswer
    | Planned
    | Happened
    | Answered
    | CannotAnswer
    | PleaseGenerate
    | Wrote
    | Generated
    | PleaseEmbed
    | Embedded
    | CannotGenerate
)
