"""The three things a decoder can be asked for: write on, say how likely a text is, or represent it.

A job is a sequence of tokens, a place in the cache while it runs, and what it has found out. The batcher feeds it: its
`tokens` are computed from `computed` on, hidden states come to `take_hidden`, drawn tokens to `accept`. Jobs know
nothing of text, threads or the network. `finished` or `error` says how it ended; `on_end` is called once, after that.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from waggle.core.carried import owner
from waggle.core.engine_values import Finish, Sampling
from waggle.core.errors import EngineError


class Head(Protocol):
    """Turns hidden states (N, E) into scores (N, vocabulary)."""

    def __call__(self, hidden: Tensor) -> Tensor:
        """Scores of every next token."""
        ...


class Job(ABC):
    """One sequence on its way through the decoder."""

    def __init__(self, tokens: Sequence[int], *, reusable: int) -> None:
        """`reusable`: how many tokens at the beginning need no hidden state, so that cached keys will do."""
        self.tokens = list(tokens)
        self.owner = owner()
        self.reusable = min(reusable, len(self.tokens) - 1)
        self.computed = 0  # positions whose keys and values are in the cache
        self.reused = 0  # those of them that were copied
        self.cancelled = False
        self.finished = False
        self.error: EngineError | None = None
        self.on_end: Callable[[], None] = lambda: None

    @property
    def remaining(self) -> int:
        """Tokens that are known but not yet computed."""
        return len(self.tokens) - self.computed

    @property
    def is_over(self) -> bool:
        """Whether nobody wants any more of it: it was cancelled, or has ended."""
        return self.cancelled or self.finished or self.error is not None

    @property
    def used(self) -> tuple[int, int]:
        """Tokens that were computed so far, for the prompt and for what was written behind it."""
        return self.computed - self.reused, 0

    @abstractmethod
    def take_hidden(self, first: int, hidden: Tensor, head: Head) -> None:
        """Look at the hidden states (T, E) of positions first, first + 1, ..., all of them of known tokens."""

    def end(self, error: EngineError | None = None) -> None:
        """Mark it as over, by success or by `error`; only the first time counts."""
        if not (self.finished or self.error):
            self.finished, self.error = error is None, error
            self.on_end()


class GenerateJob(Job):
    """Writes on behind a prompt, one token a step."""

    def __init__(
        self,
        prompt: Sequence[int],
        *,
        max_tokens: int,
        end_tokens: frozenset[int],
        sampling: Sampling,
        on_token: Callable[[int, float], bool] | None = None,
    ) -> None:
        """`on_token` sees every token and its log-probability in the worker's thread; true ends the generation."""
        super().__init__(prompt, reusable=len(prompt) - 1)
        self.prompt_length = len(self.tokens)
        self.logprobs: list[float] = []
        self.learned = 0  # tokens that drafts have taken in
        self.sampling = sampling
        self.finish = Finish.LENGTH
        self._most = max_tokens
        self._end_tokens = end_tokens
        self._on_token = on_token

    @property
    def used(self) -> tuple[int, int]:
        """As of every job."""
        return min(self.computed, self.prompt_length) - self.reused, len(self.logprobs)

    @property
    def written(self) -> list[int]:
        """The tokens of the completion, an end token included."""
        return self.tokens[self.prompt_length :]

    def take_hidden(self, first: int, hidden: Tensor, head: Head) -> None:
        """Only the last one matters, and the batcher draws from it."""

    def accept(self, token: int, logprob: float, *, is_last_place: bool) -> None:
        """Take a drawn token; `is_last_place` says that the cache has no room for one more."""
        self.tokens.append(token)
        self.logprobs.append(min(logprob, 0.0))
        stopped = token in self._end_tokens
        if self._on_token is not None:
            stopped = self._on_token(token, logprob) or stopped
        if stopped:
            self.finish = Finish.STOP
        if stopped or is_last_place or len(self.logprobs) >= self._most:
            self.end()


class ScoreJob(Job):
    """Finds the log-probability of every token of a continuation behind a prompt."""

    def __init__(self, prompt: Sequence[int], continuation: Sequence[int]) -> None:
        """At least one token each; the continuation's last token is foretold, but not computed itself."""
        super().__init__([*prompt, *continuation[:-1]], reusable=len(prompt) - 1)
        self.logprobs: list[float] = []
        self.targets = list(continuation)
        self._first = len(prompt) - 1  # the position that foretells the continuation's first token

    def take_hidden(self, first: int, hidden: Tensor, head: Head) -> None:
        """Score the next tokens wherever they belong to the continuation."""
        begin = max(first, self._first)
        targets = self.targets[begin - self._first : max(0, first + hidden.shape[0] - self._first)]
        if targets:
            scores = head(hidden[begin - first :]).float().log_softmax(dim=-1)
            wanted = torch.tensor(targets, device=scores.device)
            self.logprobs += scores.gather(1, wanted[:, None])[:, 0].tolist()


class EmbedJob(Job):
    """Averages the hidden states of all tokens into one vector of length 1."""

    def __init__(self, tokens: Sequence[int]) -> None:
        super().__init__(tokens, reusable=0)
        self._seen: list[Tensor] = []

    @property
    def vector(self) -> list[float]:
        """The embedding, once finished."""
        mean = torch.cat(self._seen).float().mean(dim=0)
        values: list[float] = torch.nn.functional.normalize(mean, dim=0).tolist()
        return values

    def take_hidden(self, first: int, hidden: Tensor, head: Head) -> None:
        """Keep them: one mean over all does not depend on how they were cut into passes."""
        self._seen.append(hidden.clone())
