"""What a round asks of those who carry it out: things to be done, in the imperative. None of it is on record."""

from msgspec import Struct

from waggle.core.bounds import Name, Node, Number, Seed, Text, Tokens
from waggle.core.chat_values import Turns
from waggle.core.engine_values import JudgeMethod, Sampling
from waggle.core.ids import NodeId
from waggle.core.round_values import Outcome, Plan, Standing


class Brief(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a node is told of a question, whatever it is asked to do with it.

    `turns` is the conversation that ends with it, where there is one; `max_tokens` the longest text that is to be
    written; `model` which of the node's models is meant, empty where it may choose.
    """

    question: Text
    turns: Turns = ()
    max_tokens: Tokens = 256
    model: Name = ""


def brief_for(plan: Plan, standing: Standing) -> Brief:
    """What a node of a plan is told of the plan's question."""
    return Brief(question=plan.question, turns=plan.turns, max_tokens=plan.max_tokens, model=standing.model)


class AskProposal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask a node for an answer."""

    node: Node
    brief: Brief
    sampling: Sampling = Sampling()


class AskReveal(Struct, frozen=True, kw_only=True):
    """Ask a node for the answer that it has committed to."""

    node: NodeId


class CancelProposal(Struct, frozen=True, kw_only=True):
    """Stop a node's work on its proposal."""

    node: NodeId


class Pair(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two candidates to be compared, shown as these words in this order."""

    first: Number
    second: Number
    first_text: Text
    second_text: Text
    method: JudgeMethod = JudgeMethod.AUTO
    seed: Seed = 0


class AskBallot(Struct, frozen=True, kw_only=True):
    """Ask a judge to compare two candidates."""

    judge: NodeId
    brief: Brief
    pair: Pair


class SetTimer(Struct, frozen=True, kw_only=True):
    """Deliver `DeadlinePassed(phase, node)` at `at` seconds since the round began; `node` is empty for all of them."""

    phase: str
    at: float
    node: NodeId = NodeId("")


class CancelAll(Struct, frozen=True, kw_only=True):
    """Stop everything that is still being worked on."""


class Finish(Struct, frozen=True, kw_only=True):
    """The round is over; `outcome` is final."""

    outcome: Outcome


Effect = AskProposal | AskReveal | CancelProposal | AskBallot | SetTimer | CancelAll | Finish
