"""Guesses how a text goes on from how others did, so that one pass can settle several tokens.

A product of fewer rows than the row floor costs as much as one of the floor, so a lone request has rows to spare: they
carry guessed tokens. A guess counts only where the model then draws that very token, so no text ever depends on one
(speculative decoding with n-gram drafts; Leviathan et al. 2023, Saxena 2023). Traces of small models repeat themselves:
measured on bundled models, 1.4 to 1.9 tokens a pass. What one asker's texts taught serves no other, because a text that
comes faster than another tells what has been written before.
"""

from collections import OrderedDict
from collections.abc import Sequence

SHORTEST, LONGEST = 2, 4  # tokens of context that a guess rests on
MOST_ENTRIES = 40_000  # a few megabytes
MOST_ASKERS = 64

Table = dict[tuple[int, ...], int]


class Drafts:
    """What last followed each two, three and four tokens; the entries longest unlearnt are forgotten."""

    def __init__(self, most_entries: int = MOST_ENTRIES) -> None:
        self._half = most_entries // 2
        self._new: Table = {}
        self._old: Table = {}

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def learn(self, tokens: Sequence[int], begin: int) -> None:
        """Take in what tokens[begin:] follow."""
        for place in range(max(begin, SHORTEST), len(tokens)):
            for length in range(SHORTEST, min(LONGEST, place) + 1):
                self._new[tuple(tokens[place - length : place])] = tokens[place]
        if len(self._new) > self._half:
            self._old, self._new = self._new, {}

    def guess(self, tokens: Sequence[int], most: int) -> list[int]:
        """Up to `most` tokens that may follow; the longest known context decides."""
        context, guessed = list(tokens[-LONGEST:]), list[int]()
        while len(guessed) < most:
            token = self._next(context)
            if token is None:
                break
            guessed.append(token)
            context = [*context[1 - LONGEST :], token]
        return guessed

    def _next(self, context: list[int]) -> int | None:
        for length in range(min(LONGEST, len(context)), SHORTEST - 1, -1):
            key = tuple(context[-length:])
            token = self._new.get(key)
            token = self._old.get(key) if token is None else token
            if token is not None:
                return token
        return None


class DraftsByAsker:
    """Drafts of each asker; past `most_entries` of all together, those that rested longest are forgotten whole."""

    def __init__(self, most_entries: int = MOST_ENTRIES, most_askers: int = MOST_ASKERS) -> None:
        self._most_entries = most_entries
        self._most_askers = most_askers
        self._drafts: OrderedDict[str, Drafts] = OrderedDict()  # who rested longest first

    def of(self, asker: str) -> Drafts:
        """This asker's drafts."""
        if asker not in self._drafts:
            self._drafts[asker] = Drafts(self._most_entries)
        self._drafts.move_to_end(asker)
        while len(self._drafts) > 1 and self._are_too_many():
            self._drafts.popitem(last=False)
        return self._drafts[asker]

    def _are_too_many(self) -> bool:
        return len(self._drafts) > self._most_askers or sum(map(len, self._drafts.values())) > self._most_entries
