"""How a question is asked: its options, its bounds, and the most tokens that a prompt of it can have. Pure."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from waggle.core.bounds import Name, Probability, Seed
from waggle.core.chat_values import MAX_TURNS, Tool, Turn, Turns
from waggle.core.engine_values import JudgeMethod, Sampling
from waggle.core.errors import UsageError
from waggle.core.round_values import Budget

AUTO, COMMITTEE = "auto", "committee"
"""The way that leaves it to the gate, and the one that is meant where nothing is said."""
MAX_QUESTION_BYTES = 64 * 1024
MAX_CONVERSATION_BYTES = 512 * 1024
PROMPT_MARGIN = 64  # tokens of chat template and instructions around a text; the hive's own take 3 to 10


class AskOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a question is to be answered.

    `strategy` names a way of answering (`strategies.ways`). `turns` is the conversation that ends with the question,
    where there is one; `proposers` and `judges` are how many of the committee are asked at most. The last six exist
    for ablations and default to the full method.
    """

    strategy: Name = COMMITTEE
    budget: Budget = Budget()
    min_confidence: Probability = 0.5
    max_tokens: Annotated[int, Meta(ge=1, le=2**20)] = 256
    sampling: Sampling = Sampling()
    seed: Seed = 0
    turns: Turns = ()
    proposers: Annotated[int, Meta(ge=1, le=64)] | None = None
    judges: Annotated[int, Meta(ge=0, le=64)] | None = None
    judge_method: JudgeMethod = JudgeMethod.AUTO
    both_orders: bool = True
    pairs_per_judge: Annotated[int, Meta(ge=0, le=4096)] | None = None
    use_weights: bool = True
    use_support: bool = True
    use_judges: bool = True


def check_question(question: str) -> None:
    """Raise UsageError unless this is a text that can be asked."""
    if not question.strip():
        raise UsageError("the question is empty")
    try:
        size = size_of(question)
    except UnicodeEncodeError:
        raise UsageError("the question is not valid Unicode text: remove the lone surrogates") from None
    if size > MAX_QUESTION_BYTES:
        raise UsageError(f"the question is longer than {MAX_QUESTION_BYTES // 1024} KiB")


def check_turns(turns: Sequence[Turn]) -> None:
    """Raise UsageError unless this is a conversation of a size that can be sent."""
    if len(turns) > MAX_TURNS:
        raise UsageError(f"the conversation has more than {MAX_TURNS} turns")
    try:
        size = sum(map(size_of, texts_of("", turns)))
    except UnicodeEncodeError:
        raise UsageError("the conversation is not valid Unicode text: remove the lone surrogates") from None
    if size > MAX_CONVERSATION_BYTES:
        raise UsageError(f"the conversation is longer than {MAX_CONVERSATION_BYTES // 1024} KiB")


def prompt_ceiling(question: str, turns: Sequence[Turn], tools: Sequence[Tool] = ()) -> int:
    """The most tokens of a prompt, as text never has more tokens than bytes: this keeps a budget a ceiling.

    The conversation counts where there is one (the question is its end), else the question: "2 + 3?" has 70 at most.
    """
    conversation = sum(map(size_of, texts_of("", turns))) + PROMPT_MARGIN * len(turns)
    offered = sum(size_of(tool.description + tool.parameters) + PROMPT_MARGIN for tool in tools)
    return max(conversation, size_of(question) + PROMPT_MARGIN) + offered


def texts_of(question: str, turns: Sequence[Turn]) -> list[str]:
    """All that is said in a question and the conversation that ends with it."""
    return [
        question,
        *(text for turn in turns for text in (turn.content, *(call.arguments for call in turn.tool_calls))),
    ]


def size_of(text: str) -> int:
    """In bytes."""
    return len(text.encode())
