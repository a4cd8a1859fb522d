"""What a round is planned with, what happens in it, and what it ends with; what it asks for is in `round_effects`.

Events are things that happened (past tense). Every event carries `at`, the seconds since the round began on the
coordinator's clock, because the round itself has no clock. All values are frozen and can be written to JSON and read
back unchanged: a round's record is its plan and its events.
"""

from msgspec import Struct

from waggle.core.bounds import Digest, Id, LongText, Name, Node, Number, Probability, Seconds, ShortText, Text, Tokens
from waggle.core.chat_values import Turn
from waggle.core.engine_values import JudgeMethod, Sampling
from waggle.core.failures import Failure
from waggle.core.ids import NodeId, RoundId


class Budget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ceilings of one round; None = none. Tokens count prompts and completions of every call."""

    tokens: int | None = None
    seconds: float = 60.0


class Standing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a node for the question at hand.

    `support_weight` and `judge_weight` are its weights (>= 0) as proposer and judge; `skill` is the expected share of
    right answers in [0, 1]; `judge_method` is how it was measured to judge best. `model` says which of its models is
    meant, where it has several. `expected_seconds` is how long an answer should take.
    """

    node: NodeId
    support_weight: float = 1.0
    judge_weight: float = 1.0
    skill: float = 0.5
    judge_method: JudgeMethod = JudgeMethod.AUTO
    model: str = ""
    expected_seconds: float | None = None


class ConfidenceModel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Logistic map from a round's features to P(winner is right): one coefficient >= 0 per feature, in their order."""

    intercept: float
    coefficients: tuple[float, ...]


class Plan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that decides how a round goes, fixed before it starts.

    `proposers` are asked at once, `standby` one by one when a proposal fails. Judges with weight 0 are not asked.
    `pairs_per_judge` None means about 3n ordered pairs for n candidates. `waves` bounds how often ballots are bought;
    with a number of pairs or one order given, more than once only below `min_confidence`.
    `propose_share` of the time budget is kept for proposing; with `commit_reveal` proposers commit to their answers
    first, and have `commit_share` of that time for it. A proposer that takes `hedge_factor` times as long as expected
    is doubled by a standby. `familiarity` in [0, 1] says how far the question is of a kind that the standings were
    measured on. `turns` is the conversation that ends with the question, where there is one.
    """

    round_id: RoundId
    question: str
    proposers: tuple[Standing, ...]
    judges: tuple[Standing, ...]
    standby: tuple[Standing, ...] = ()
    budget: Budget = Budget()
    max_tokens: int = 256
    sampling: Sampling = Sampling()
    judge_method: JudgeMethod = JudgeMethod.AUTO
    pairs_per_judge: int | None = None
    both_orders: bool = True
    waves: int = 3
    prior_ballots: float = 0.5
    use_support: bool = True
    count_self_confidence: bool = True
    propose_share: float = 0.6
    commit_reveal: bool = False
    commit_share: float = 0.8
    hedge_factor: float | None = None
    min_confidence: float = 0.0
    stop_level: float = 0.98
    familiarity: float = 1.0
    confidence: ConfidenceModel | None = None
    answer_marker: str | None = None
    seed: int = 0
    strategy: str = "committee"
    turns: tuple[Turn, ...] = ()


class Spent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was used, by purpose. Tokens count prompts and completions; `prompt_tokens` is the prompts' part of both."""

    proposing_tokens: int = 0
    judging_tokens: int = 0
    prompt_tokens: int = 0
    seconds: float = 0.0


class Proposal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One node's answer. `self_confidence` None = the engine cannot tell. `prompt_tokens` are among `tokens`."""

    node: Node
    answer: Text
    trace: LongText = ""
    self_confidence: Probability | None = None
    tokens: Tokens = 0
    prompt_tokens: Tokens = 0
    seconds: Seconds = 0.0


class Ballot(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One judge's comparison of candidates `first` and `second` (indices, in the order shown); None = unparseable."""

    judge: Node
    first: Number
    second: Number
    p: Probability | None
    reason: ShortText = ""
    tokens: Tokens = 0
    prompt_tokens: Tokens = 0
    seconds: Seconds = 0.0


class Promise(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node has its answer and is bound to it: `digest` is `commitment` of it, `tokens` what making it cost."""

    digest: Digest
    tokens: Tokens = 0


class Reveal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The answer that was promised, and the nonce (hex) that was hashed with it."""

    proposal: Proposal
    nonce: Id


# --- events ---------------------------------------------------------------------------------------------------------


class RoundStarted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="round_started"):
    """The first event of every round."""

    at: float = 0.0


class ProposalCommitted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="proposal_committed"):
    """A node has its answer and is bound to it."""

    at: float
    node: NodeId
    promise: Promise


class ProposalReceived(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="proposal_received"):
    """A node answered, or revealed what it had committed to with this `nonce`."""

    at: float
    proposal: Proposal
    nonce: str = ""


class ProposalFailed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="proposal_failed"):
    """A node could not answer, or answered with nothing usable."""

    at: float
    node: NodeId
    failure: Failure


class BallotReceived(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ballot_received"):
    """A judge compared a pair."""

    at: float
    ballot: Ballot


class BallotFailed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ballot_failed"):
    """A judge could not compare a pair."""

    at: float
    judge: NodeId
    first: Number
    second: Number
    failure: Failure


class DeadlinePassed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="deadline_passed"):
    """A timer went off: that of a phase, or a node's own. The committee's are "commit", "propose", "round", "hedge"."""

    at: float
    phase: Name
    node: NodeId = NodeId("")


Event = (
    RoundStarted
    | ProposalCommitted
    | ProposalReceived
    | ProposalFailed
    | BallotReceived
    | BallotFailed
    | DeadlinePassed
)


# --- the end --------------------------------------------------------------------------------------------------------


class CandidateResult(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group of equal proposals: the words of its best-supported one, who stood behind it, and how strong it is.

    `number` is what ballots call it.
    """

    number: int
    answer: str
    supporters: tuple[NodeId, ...]
    strength: float
    support: float


class BallotCount(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ballots asked for, counted, refused (failed or too late) and unparseable; counted in no case as a win."""

    asked: int = 0
    cast: int = 0
    refused: int = 0
    unparseable: int = 0


class Outcome(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a round ended.

    `answer` is the best guess even when `abstained`; None where nobody proposed anything. `confusion_p` is the
    probability that the runner-up is the better one. `reason` says in words why it ended.
    """

    answer: str | None
    confidence: float
    abstained: bool
    candidates: tuple[CandidateResult, ...] = ()
    runner_up: str | None = None
    confusion_p: float | None = None
    ballots: BallotCount = BallotCount()
    connected: bool = False
    failures: dict[str, Failure] = {}
    spent: Spent = Spent()
    reason: str = ""
    features: dict[str, float] = {}

    @property
    def reasons(self) -> dict[str, str]:
        """Why who failed, in words."""
        return {node: failure.reason for node, failure in self.failures.items()}


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is needed to replay a round.

    `wasted_tokens` were used by calls that failed or were cut off, as far as their engines told; they are not in
    `outcome.spent`. `wasted_prompt_tokens` are among them.
    """

    plan: Plan
    events: tuple[Event, ...]
    outcome: Outcome
    wasted_tokens: int = 0
    wasted_prompt_tokens: int = 0

    @property
    def used_tokens(self) -> int:
        """Tokens of all calls, the wasted ones too."""
        return self.outcome.spent.proposing_tokens + self.outcome.spent.judging_tokens + self.wasted_tokens
