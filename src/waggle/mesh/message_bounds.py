"""What in a message the types cannot say: bounds of values that a round and an engine share, checked before use."""

from waggle.core.bounds import KIB, MAX_SECONDS, MAX_TOKENS
from waggle.core.chat_values import MAX_TOOL_CALLS, MAX_TURNS
from waggle.core.engine_values import GenerateRequest, Generation, Sampling
from waggle.core.round_values import Budget
from waggle.mesh.messages import (
    Generated,
    Message,
    PleaseAnswer,
    PleaseGenerate,
    PleasePropose,
)

MIN_TEMPERATURE = 1e-3
"""A smaller one divides a model's scores beyond what 32-bit floats hold; 0 itself means greedy."""
MAX_TEMPERATURE = 100.0
MAX_TOP_K = 2**31 - 1
MAX_ANSWER_TOKENS = 2**20
MAX_TEXT = 64 * KIB
MAX_TOOLS, MAX_STOPS, MAX_STOP = 128, 16, 256


def fault_of(message: Message) -> str | None:
    """What in a message lies outside the bounds that the values of a round do not carry themselves; None if nothing."""
    match message:
        case PleasePropose():
            return _fault_of_sampling(message.ask.sampling)
        case PleaseGenerate():
            return _fault_of_sampling(message.asked.sampling) or _fault_of_request(message.asked)
        case Generated():
            return _fault_of_generation(message.generation)
        case PleaseAnswer():
            return _fault_of_sampling(message.options.sampling) or _fault_of_budget(message.options.budget)
        case _:
            return None


def _fault_of_sampling(sampling: Sampling) -> str | None:
    if sampling.temperature and not MIN_TEMPERATURE <= sampling.temperature <= MAX_TEMPERATURE:
        return f"a temperature that is neither 0 nor from {MIN_TEMPERATURE:g} to {MAX_TEMPERATURE:g}"
    if not 0 <= sampling.top_k <= MAX_TOP_K or not 0 <= sampling.top_p <= 1:
        return "a filter of tokens that is out of range"
    return None


def _fault_of_request(asked: GenerateRequest) -> str | None:
    if not 1 <= asked.max_tokens <= MAX_ANSWER_TOKENS:
        return "a number of tokens that is out of range"
    if len(asked.question) > MAX_TEXT or len(asked.turns) > MAX_TURNS or len(asked.tools) > MAX_TOOLS:
        return "a request that is too long"
    stops = len(asked.stop) <= MAX_STOPS and all(len(stop) <= MAX_STOP for stop in asked.stop)
    return None if stops and len(asked.tool_choice) <= MAX_STOP else "too many or too long stop strings"


def _fault_of_generation(made: Generation) -> str | None:
    if max(len(made.text), len(made.answer), len(made.trace)) > 4 * MAX_TEXT or len(made.tool_calls) > MAX_TOOL_CALLS:
        return "a text that is too long"
    counts = made.prompt_tokens, made.completion_tokens
    if not all(0 <= count <= MAX_TOKENS for count in counts) or not 0 <= made.seconds <= MAX_SECONDS:
        return "a count that is out of range"
    sure = made.self_confidence
    return None if sure is None or 0 <= sure <= 1 else "a self-confidence that is out of range"


def _fault_of_budget(budget: Budget) -> str | None:
    if budget.tokens is not None and not 0 <= budget.tokens <= MAX_TOKENS:
        return "a number of tokens that is out of range"
    return None if 0 <= budget.seconds <= MAX_SECONDS else "a number of seconds that is out of range"
