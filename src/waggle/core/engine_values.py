"""What is asked of an engine and what it gives back: frozen values, no behaviour.

An engine turns text into text. It knows nothing of rounds, nodes or weights. Times are in seconds,
lengths in tokens, log-probabilities natural (base e), probabilities in [0, 1].
"""

from enum import StrEnum

from msgspec import Struct

from waggle.core.chat_values import Tool, ToolCall, Turn


class Sampling(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the next token is drawn. Temperature 0 is greedy; top_k 0 and top_p 1 switch those filters off."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0


class GenerateRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One question to be answered. `max_tokens` bounds the completion, `stop` ends it early (and is cut off).

    `turns` is the whole conversation where there is more to it than the question: `question` is then its last turn of
    the user, and an engine that cannot hold a conversation answers that alone. `tool_choice` is "auto", "none",
    "required" or the name of a tool.
    """

    question: str
    max_tokens: int = 256
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"


class Finish(StrEnum):
    """Why a generation ended."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"


class Generation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A finished completion.

    `text` is the whole completion; `answer` the part after the last answer marker (all of it where the engine
    has no marker, "" where it has one and did not write it); `trace` the part before. `logprobs` has one entry
    per completion token, or is empty where the engine gives none. `self_confidence` is the geometric mean
    probability of the answer's own tokens in [0, 1]; None where the engine cannot tell.
    """

    text: str
    answer: str
    trace: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    finish: Finish
    logprobs: tuple[float, ...] = ()
    self_confidence: float | None = None
    tool_calls: tuple[ToolCall, ...] = ()


class StreamedToken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of a streaming generation; the last one carries the whole `generation` and may have no text."""

    text: str
    logprob: float | None = None
    generation: Generation | None = None


class JudgeMethod(StrEnum):
    """How an engine compares two proposals.

    RESOLVE works the question itself, then compares how likely each proposal is in the answer's place.
    VERDICT writes a short check of both proposals and a verdict token. DIRECT gives the verdict with no reason
    (an ablation). AUTO is the engine's own calibrated choice.
    """

    AUTO = "auto"
    RESOLVE = "resolve"
    VERDICT = "verdict"
    DIRECT = "direct"


class JudgeRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of two proposed answers to `question` is right? Shown in this order; `turns` as in `GenerateRequest`."""

    question: str
    first: str
    second: str
    method: JudgeMethod = JudgeMethod.AUTO
    max_tokens: int = 256
    seed: int = 0
    turns: tuple[Turn, ...] = ()


class Judgement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`p` = P(first is better than second), or None where the verdict could not be read: never a default."""

    p: float | None
    reason: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float


class EngineCard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an engine says of itself. `skills` maps a kind of question to the measured share of right answers.

    `converses` says whether it reads a whole conversation, or only the question at its end; `calls_tools` whether it
    can call a tool that is offered; `embeds` whether it makes vectors of texts.
    """

    model: str
    family: str
    context_tokens: int
    converses: bool = True
    calls_tools: bool = False
    embeds: bool = True
    answer_marker: str | None = None
    parameters: int | None = None
    skills: dict[str, float] = {}
    tokens_per_second: float | None = None
