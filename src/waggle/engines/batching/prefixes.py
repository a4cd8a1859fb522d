"""Keys and values of sequences that have left the batch, kept a while in case another one begins in the same way.

A judge works a question that it has answered before; a conversation goes on. What is kept is bounded in tokens, and
the longest unused goes first. One owner's sequences serve no other: how fast a prompt is read would tell who else
began in the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from waggle.core.owner import NOBODY, Owner

SHORTEST = 8  # tokens; a shorter prefix is computed faster than it is found


@dataclass(frozen=True, eq=False)
class Prefix:
    """A sequence's tokens with its keys and values, each (layers, kv_heads, tokens, head_dim)."""

    tokens: tuple[int, ...]
    keys: Tensor
    values: Tensor
    owner: Owner = NOBODY


class PrefixStore:
    """The most recent sequences, up to `most_tokens` of them together."""

    def __init__(self, most_tokens: int) -> None:
        self._most_tokens = most_tokens
        self._held = 0
        self._prefixes: list[Prefix] = []  # the longest unused first

    def keep(self, prefix: Prefix) -> None:
        """Hold on to a sequence, and let go of older ones as needed."""
        if len(prefix.tokens) > self._most_tokens or any(
            (prefix.tokens, prefix.owner) == (known.tokens, known.owner) for known in self._prefixes
        ):
            return
        self._prefixes.append(prefix)
        self._held += len(prefix.tokens)
        while self._held > self._most_tokens:
            self._held -= len(self._prefixes.pop(0).tokens)

    def find(self, tokens: Sequence[int], most: int, owner: Owner = NOBODY) -> tuple[int, Prefix | None]:
        """The owner's sequence that begins most like `tokens`, and how long that is the same; at most `most`."""
        best, length = None, SHORTEST - 1
        for prefix in self._prefixes:
            shared = shared_length(prefix.tokens, tokens, most) if prefix.owner == owner else 0
            if shared > length:
                best, length = prefix, shared
        if best is None:
            return 0, None
        self._prefixes.remove(best)
        self._prefixes.append(best)
        return length, best


def shared_length(first: Sequence[int], second: Sequence[int], most: int) -> int:
    """How many tokens two sequences have in common at the beginning; at most `most`."""
    length = 0
    for mine, theirs in zip(first, second, strict=False):
        if mine != theirs or length >= most:
            break
        length += 1
    return length
