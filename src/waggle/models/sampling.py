"""Draws the next token of every row of a batch, each row by its own rules and its own randomness.

Randomness is counted, not streamed: token number n of a request is drawn with a number that is a hash of (seed, n). So
the same seed gives the same text whoever else is in the batch and in whatever order requests come and go; anybody
can draw again. This needs scores that do not depend on the batch either, to the last bit: `fused.py` sees to that.
(To round the scores would not help: it moves the places where a tiny difference changes the token, no more.)
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from waggle.core.engine_values import Sampling


class Sampler:
    """The rules of one batch's rows, kept until the batch changes."""

    def __init__(self, rules: Sequence[Sampling], *, device: torch.device | str = "cpu") -> None:
        """Row b is drawn by `rules[b]`; rows behind the last rule are greedy."""
        plain = [row for row, rule in enumerate(rules) if rule.temperature > 0 and not _is_filtered(rule)]
        filtered = [row for row, rule in enumerate(rules) if rule.temperature > 0 and _is_filtered(rule)]
        self._seeds = [rule.seed for rule in rules]
        self._groups = [
            _Group(rows, [rules[row] for row in rows], filtered=rows is filtered, device=device)
            for rows in (plain, filtered)
            if rows
        ]

    def draw(self, scores: Tensor, steps: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Choose a token for every row.

        Args:
            scores: (B, vocabulary).
            steps: how many tokens each row's request has drawn before.

        Returns:
            Tokens (B,) and their log-probabilities (B,) under the model itself: temperature 1, nothing filtered.
        """
        tokens = scores.argmax(dim=-1)
        for group in self._groups:
            lots = [lot(self._seeds[row], steps[row]) for row in group.rows]
            tokens[group.index] = group.draw(scores, lots)
        logprobs = scores.float().log_softmax(dim=-1).gather(1, tokens[:, None])
        return tokens, logprobs[:, 0]


class _Group:
    """Rows that are drawn together. Filtered and plain rows are kept apart, as they walk the tokens in other orders."""

    def __init__(self, rows: list[int], rules: list[Sampling], *, filtered: bool, device: torch.device | str) -> None:
        self.rows = rows
        self.index = torch.tensor(rows, device=device)
        self.filtered = filtered
        self._device = device
        self._temperature = torch.tensor([[rule.temperature] for rule in rules], device=device)
        self._top_p = torch.tensor([[rule.top_p] for rule in rules], dtype=torch.float64, device=device)
        self._top_k = torch.tensor([[rule.top_k or 2**31] for rule in rules], device=device)

    def draw(self, scores: Tensor, lots: list[float]) -> Tensor:
        shares = (scores[self.index].float() / self._temperature).softmax(dim=-1).double()
        if not self.filtered:
            return pick(shares, torch.tensor(lots, dtype=torch.float64, device=self._device))
        shares, order = shares.sort(dim=-1, descending=True, stable=True)
        shares = keep_likeliest(shares, self._top_k, self._top_p)
        places = pick(shares, torch.tensor(lots, dtype=torch.float64, device=self._device))
        return order.gather(1, places[:, None])[:, 0]


def keep_likeliest(shares: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    """Zero all but the first `top_k` of sorted shares (B, V), and all behind those that add up to `top_p`.

    The likeliest token always stays. Shares [0.5, 0.3, 0.2] with top_p 0.6 become [0.5, 0.3, 0].
    """
    ranks = torch.arange(shares.shape[-1], device=shares.device)
    before = shares.cumsum(dim=-1) - shares
    dropped = (ranks >= top_k) | (before >= top_p)
    dropped[:, 0] = False
    return shares.masked_fill(dropped, 0.0)


def pick(shares: Tensor, lots: Tensor) -> Tensor:
    """The token at which each row's running sum of shares (B, V) passes its lot (B,) in [0, 1)."""
    sums = shares.cumsum(dim=-1)
    found = torch.searchsorted(sums, lots[:, None] * sums[:, -1:], right=True)[:, 0]
    return found.clamp_(max=shares.shape[-1] - 1)


def lot(seed: int, step: int) -> float:
    """The number in [0, 1) by which token `step` of a request is drawn: 53 bits of a hash of both."""
    digest = hashlib.blake2b(f"waggle/lot/1/{seed}/{step}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) * 2.0**-53


def _is_filtered(rule: Sampling) -> bool:
    return rule.top_k > 0 or rule.top_p < 1
