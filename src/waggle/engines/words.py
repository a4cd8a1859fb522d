"""Words in place of tokens, for engines that have no tokenizer."""

import re

from waggle.core.engine_values import Finish, GenerateRequest
from waggle.engines.answer import cut_at_stop


def tokens_of(text: str) -> list[str]:
    """Words with the spaces before them; they add up to the text."""
    return re.findall(r"\s*\S+|\s+\Z", text)


def count_tokens(text: str) -> int:
    """How many tokens a text is; a prompt has at least one."""
    return max(1, len(tokens_of(text)))


def prompt_tokens(request: GenerateRequest) -> int:
    """Those of the whole conversation, where there is one."""
    said = [text for turn in request.turns for text in (turn.content, *(call.arguments for call in turn.tool_calls))]
    return sum(map(count_tokens, said)) if said else count_tokens(request.question)


def bounded(text: str, request: GenerateRequest) -> tuple[list[str], Finish]:
    """As much of a text as was asked for, in tokens, and why it ends there."""
    pieces = tokens_of(text)
    kept = pieces[: max(0, request.max_tokens)]
    before = cut_at_stop("".join(kept), request.stop)
    if before is not None:
        return tokens_of(before), Finish.STOP
    return kept, Finish.STOP if len(kept) == len(pieces) else Finish.LENGTH
