"""What nodes say to each other during a round, one frozen struct per kind; `codec` signs and carries them.

A round is one stream per participant (`ROUND_PROTOCOL`): the coordinator asks, the participant commits, reveals and
casts ballots as they are made; closing the stream stops all work for that round. A client's question is one stream to
a node (`ASK_PROTOCOL`): the coordinator sends the plan, every event as it is accepted, and the outcome, so that the
client can replay the round and need not believe the outcome.

Sizes are checked twice: every frame as a whole before decoding, every field's own limit by the types below.
"""

from typing import Annotated

from msgspec import Meta, Struct

from waggle.core.asking import AskOptions
from waggle.core.bounds import Id, Name, Number, Seconds, ShortText, Text
from waggle.core.engine_values import GenerateRequest, Generation
from waggle.core.failures import Failure
from waggle.core.round_effects import AskProposal, Brief, Pair
from waggle.core.round_values import Ballot, Event, Outcome, Plan, Promise, Reveal

ROUND_PROTOCOL = "/waggle/round/2"
ASK_PROTOCOL = "/waggle/ask/2"
MODEL_PROTOCOL = "/waggle/model/2"

Logprob = Annotated[float, Meta(ge=-1e9, le=1e3)]
Coordinate = Annotated[float, Meta(ge=-2.0, le=2.0)]
Vector = Annotated[tuple[Coordinate, ...], Meta(min_length=1, max_length=16_384)]


# --- coordinator to participant -------------------------------------------------------------------------------------


class PleasePropose(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="propose"):
    """Answer this; commit to the answer first. The same round asked again (another coordinator) is the same work."""

    ask: AskProposal
    seconds: Seconds
    """How long the answer will be waited for."""


class PleaseStop(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="stop"):
    """Work on the proposal no further; it would come too late. Ballots are still wanted."""


class PleaseReveal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="reveal_please"):
    """All commitments are in: show what you committed to."""


class PleaseJudge(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="judge"):
    """Compare these pairs; every ballot is sent as soon as it is made."""

    brief: Brief
    pairs: Annotated[tuple[Pair, ...], Meta(min_length=1, max_length=64)]
    seconds: Seconds


# --- participant to coordinator -------------------------------------------------------------------------------------


class Committed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="commit"):
    """The answer is made, and its sender bound to it."""

    promise: Promise


class Revealed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="reveal"):
    """The answer that was committed to."""

    reveal: Reveal


class CastBallot(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ballot"):
    """A pair was compared."""

    ballot: Ballot


class CannotPropose(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="no_proposal"):
    """No answer."""

    failure: Failure


class CannotJudge(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="no_ballot"):
    """No ballot on this pair."""

    first: Number
    second: Number
    failure: Failure


class StillHere(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="still_here"):
    """Nothing new, but I am at it: sent where there is nothing else to say for a while."""


# --- client and coordinator -----------------------------------------------------------------------------------------


class PleaseAnswer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="question"):
    """A question to the whole swarm. Asked again with the same `request`, of any node, it is the same question."""

    request: Id
    question: Text
    options: AskOptions = AskOptions()


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
    """The node cannot take the question."""

    failure: Failure


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
    """The model cannot."""

    failure: Failure


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
