"""One honest message of every kind, whose bytes are kept in golden files; values of any wire type for hypothesis."""

from collections.abc import Callable

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from waggle.core.asking import AskOptions
from waggle.core.chat_values import Role, Tool, ToolCall, Turn
from waggle.core.engine_values import Finish, GenerateRequest, Generation, JudgeMethod, Sampling
from waggle.core.failures import Cause, Failure
from waggle.core.ids import NodeId, RoundId
from waggle.core.round_effects import AskProposal, Brief, Pair
from waggle.core.round_values import (
    Ballot,
    BallotCount,
    BallotFailed,
    BallotReceived,
    Budget,
    CandidateResult,
    ConfidenceModel,
    DeadlinePassed,
    Outcome,
    Plan,
    Promise,
    Proposal,
    ProposalCommitted,
    ProposalFailed,
    ProposalReceived,
    Reveal,
    RoundStarted,
    Spent,
    Standing,
)
from waggle.core.round_values import Ballot as RoundBallot
from waggle.mesh.codec import KINDS
from waggle.mesh.messages import (
    Answered,
    CannotAnswer,
    CannotGenerate,
    CannotJudge,
    CannotPropose,
    CastBallot,
    Committed,
    Embedded,
    Generated,
    Happened,
    Message,
    Planned,
    PleaseAnswer,
    PleaseEmbed,
    PleaseGenerate,
    PleaseJudge,
    PleasePropose,
    PleaseReveal,
    PleaseStop,
    Revealed,
    StillHere,
    Wrote,
)
from waggle.trust.keys import NodeKey

KEY = NodeKey.from_seed(b"waggle golden files, not secret!")
ROUND = "0123456789abcdef0123456789abcdef"
SEQ = 3
NODE = NodeId(KEY.node_id)
REQUEST = "fedcba9876543210fedcba9876543210"
STANDING = Standing(node=NODE, support_weight=1.5, judge_weight=0.5, skill=0.75, judge_method=JudgeMethod.RESOLVE)
CALL = ToolCall(id="call_1", name="weather", arguments='{"city": "Linz"}')
TURNS = (
    Turn(role=Role.SYSTEM, content="Be brief."),
    Turn(role=Role.USER, content="How is the weather?"),
    Turn(role=Role.ASSISTANT, content="", tool_calls=(CALL,)),
    Turn(role=Role.TOOL, content="sunny", tool_call_id="call_1"),
)

SAMPLES: dict[str, Message] = {
    "propose": PleasePropose(
        ask=AskProposal(
            node=NODE,
            brief=Brief(question="What is 6 * 7?", turns=TURNS, max_tokens=256, model="bee-1"),
            sampling=Sampling(temperature=0.7, top_k=40, top_p=0.9, seed=-5),
        ),
        seconds=12.5,
    ),
    "stop": PleaseStop(),
    "reveal_please": PleaseReveal(),
    "judge": PleaseJudge(
        brief=Brief(question="Wie viel ist 6 · 7?", max_tokens=64, model="bee-1"),
        pairs=(
            Pair(first=0, second=1, first_text="42", second_text="41", method=JudgeMethod.RESOLVE, seed=7),
            Pair(first=1, second=0, first_text="41", second_text="42", method=JudgeMethod.VERDICT, seed=-(2**63)),
        ),
        seconds=5.0,
    ),
    "commit": Committed(promise=Promise(digest="ab" * 32, tokens=17)),
    "reveal": Revealed(
        reveal=Reveal(
            proposal=Proposal(
                node=NODE,
                answer="42 \U0001f41d",
                trace="6 * 7 = 42\0",
                self_confidence=0.875,
                tokens=17,
                seconds=0.5,
            ),
            nonce="00ff" * 8,
        )
    ),
    "ballot": CastBallot(
        ballot=Ballot(judge=NODE, first=0, second=1, p=0.96875, reason="the first adds up", tokens=9, seconds=0.25)
    ),
    "no_proposal": CannotPropose(failure=Failure(Cause.BUSY, "no room now", 1.5)),
    "no_ballot": CannotJudge(first=3, second=63, failure=Failure(Cause.UNAVAILABLE, "the engine failed")),
    "still_here": StillHere(),
    "question": PleaseAnswer(
        request=REQUEST,
        question="What is 6 * 7?",
        options=AskOptions(
            strategy="committee",
            budget=Budget(tokens=10_000, seconds=20.0),
            min_confidence=0.6,
            max_tokens=128,
            sampling=Sampling(temperature=0.5),
            seed=2**63 - 1,
            turns=TURNS,
            proposers=3,
            judges=0,
        ),
    ),
    "planned": Planned(
        plan=Plan(
            round_id=RoundId(ROUND),
            question="What is 6 * 7?",
            proposers=(STANDING,),
            judges=(STANDING,),
            standby=(STANDING,),
            budget=Budget(tokens=None, seconds=20.0),
            confidence=ConfidenceModel(intercept=-1.0, coefficients=(0.5, 2.0)),
            answer_marker="####",
            seed=11,
        )
    ),
    "happened": Happened(
        event=ProposalReceived(at=0.75, proposal=Proposal(node=NODE, answer="42", self_confidence=None, tokens=17))
    ),
    "answered": Answered(
        outcome=Outcome(
            answer="42",
            confidence=0.9,
            abstained=False,
            candidates=(
                CandidateResult(number=0, answer="42", supporters=(NODE,), strength=1.25, support=2.0),
                CandidateResult(number=1, answer="41", supporters=(), strength=-1.25, support=0.0),
            ),
            runner_up="41",
            confusion_p=0.1,
            ballots=BallotCount(asked=6, cast=5, refused=0, unparseable=1),
            connected=True,
            failures={"12D3KooW": Failure(Cause.LATE, "no answer in time")},
            spent=Spent(proposing_tokens=34, judging_tokens=54, seconds=1.5),
            reason="the ballots are cast",
            features={"margin": 0.5},
        )
    ),
    "no_answer": CannotAnswer(failure=Failure(Cause.TOO_LONG, "too long for every model")),
    "generate": PleaseGenerate(
        request=REQUEST,
        model="bee-1",
        asked=GenerateRequest(
            question="How is the weather?",
            turns=TURNS[:2],
            tools=(Tool(name="weather", description="of a city", parameters='{"type": "object"}'),),
            tool_choice="required",
            stop=("END",),
        ),
        seconds=30.0,
    ),
    "wrote": Wrote(tokens=(("4", -0.25), ("2", None))),
    "generated": Generated(
        generation=Generation(
            text="",
            answer="",
            trace="",
            prompt_tokens=12,
            completion_tokens=7,
            seconds=0.5,
            finish=Finish.TOOL_CALLS,
            tool_calls=(CALL,),
        )
    ),
    "embed": PleaseEmbed(request=REQUEST, model="bee-1", texts=("one", "two"), seconds=5.0),
    "embedded": Embedded(vectors=((0.6, 0.8), (1.0, 0.0))),
    "no_generation": CannotGenerate(failure=Failure(Cause.BUSY, "no room now", 1.0)),
}
"""Changing one changes the protocol: write the golden files anew and raise its version."""

EVENTS = (
    RoundStarted(at=0.0),
    ProposalCommitted(at=0.5, node=NODE, promise=Promise(digest="ab" * 32, tokens=17)),
    ProposalReceived(at=0.75, proposal=Proposal(node=NODE, answer="42"), nonce="00ff" * 8),
    ProposalFailed(at=1.0, node=NODE, failure=Failure(Cause.UNAVAILABLE, "no answer in time")),
    BallotReceived(at=2.0, ballot=RoundBallot(judge=NODE, first=0, second=1, p=None)),
    BallotFailed(at=2.5, judge=NODE, first=0, second=1, failure=Failure(Cause.UNAVAILABLE, "full")),
    DeadlinePassed(at=3.0, phase="round"),
)


def messages() -> st.SearchStrategy[Message]:
    """Any message that breaks no rule, of any kind, built from the types themselves."""
    every: list[st.SearchStrategy[Message]] = [values(inspect.type_info(kind)) for kind in KINDS.values()]
    return st.one_of(every)


def values(kind: inspect.Type) -> st.SearchStrategy:
    """Values of a wire type within its own bounds."""
    if isinstance(kind, inspect.StructType):
        if kind.cls in SPECIAL:
            return SPECIAL[kind.cls]()
        return st.builds(kind.cls, **{field.name: values(field.type) for field in kind.fields})
    if isinstance(kind, inspect.UnionType):
        return st.one_of([values(option) for option in kind.types])
    if isinstance(kind, inspect.VarTupleType):
        return st.lists(values(kind.item_type), min_size=kind.min_length or 0, max_size=3).map(tuple)
    if isinstance(kind, inspect.TupleType):
        return st.tuples(*(values(item) for item in kind.item_types))
    if isinstance(kind, inspect.DictType):
        return st.dictionaries(values(kind.key_type), values(kind.value_type), max_size=3)
    return scalars(kind)


def scalars(kind: inspect.Type) -> st.SearchStrategy:
    """The leaves: numbers, texts, choices."""
    match kind:
        case inspect.NoneType():
            return st.none()
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            low = kind.ge if kind.ge is not None else -(2**63)
            high = kind.le if kind.le is not None else kind.lt - 1 if kind.lt is not None else 2**63 - 1
            return st.integers(low, high)
        case inspect.FloatType():
            return st.floats(kind.ge, kind.le, allow_nan=False, allow_infinity=False)
        case inspect.StrType(pattern=None):
            return st.text(max_size=min(kind.max_length or 50, 50))
        case inspect.StrType():
            length = int(str(kind.pattern).partition("{")[2].partition("}")[0])
            return st.text("0123456789abcdef", min_size=length, max_size=length)
        case inspect.EnumType():
            return st.sampled_from(list(kind.cls))
        case _:
            raise NotImplementedError(f"no strategy for {kind}")


def requests() -> st.SearchStrategy[GenerateRequest]:
    texts = st.text(max_size=20)
    return st.builds(
        GenerateRequest,
        question=texts,
        max_tokens=st.integers(1, 2**20),
        sampling=samplings(),
        stop=st.lists(texts, max_size=3).map(tuple),
        turns=st.lists(values(inspect.type_info(Turn)), max_size=3).map(tuple),
        tools=st.lists(values(inspect.type_info(Tool)), max_size=3).map(tuple),
        tool_choice=texts,
    )


def generations() -> st.SearchStrategy[Generation]:
    texts, counts = st.text(max_size=20), st.integers(0, 2**40)
    return st.builds(
        Generation,
        text=texts,
        answer=texts,
        trace=texts,
        prompt_tokens=counts,
        completion_tokens=counts,
        seconds=st.floats(0.0, 1e7),
        finish=st.sampled_from(list(Finish)),
        logprobs=st.lists(st.floats(-100.0, 0.0), max_size=3).map(tuple),
        self_confidence=st.none() | st.floats(0.0, 1.0),
        tool_calls=st.lists(values(inspect.type_info(ToolCall)), max_size=3).map(tuple),
    )


def samplings() -> st.SearchStrategy[Sampling]:
    temperatures = st.just(0.0) | st.floats(1e-3, 100.0)
    seeds = st.integers(-(2**63), 2**63 - 1)
    return st.builds(
        Sampling, temperature=temperatures, top_k=st.integers(0, 2**31 - 1), top_p=st.floats(0.0, 1.0), seed=seeds
    )


def budgets() -> st.SearchStrategy[Budget]:
    return st.builds(Budget, tokens=st.none() | st.integers(0, 2**40), seconds=st.floats(0.0, 1e7))


SPECIAL: dict[type, Callable[[], st.SearchStrategy]] = {
    Sampling: samplings,
    Budget: budgets,
    GenerateRequest: requests,
    Generation: generations,
}
"""Types whose bounds `fault_of` knows."""


def packed(value: object) -> bytes:
    """MessagePack without any check, as a stranger may write it."""
    return msgspec.msgpack.encode(value)
