"""How much one model may write for a peer, and what a peer believes that it cost: the same for both sides."""

from waggle.core.engine_values import GenerateRequest

MAX_PIECE = 4_096  # characters of one entry of a frame; a longer token takes several
MAX_WRITTEN = 256 * 1024  # characters of one text; `Generated` holds no more
TEMPLATE_TOKENS = 16_384  # that instructions and a chat template may add to a prompt


def most_prompt_tokens(asked: GenerateRequest) -> int:
    """No text has more tokens than bytes; schemas of tools may be laid out anew, with spaces."""
    said = [asked.question, *(turn.content for turn in asked.turns)]
    said += [text for turn in asked.turns for call in turn.tool_calls for text in (call.name, call.arguments)]
    said += [text for tool in asked.tools for text in (tool.name, tool.description, tool.parameters)]
    return 2 * sum(len(text.encode()) for text in said) + TEMPLATE_TOKENS
