"""Keys and values of many sequences at once, one slot each, so that unequal lengths decode in one batch.

A slot is a row of fixed capacity. Nothing here knows whose sequence a slot holds, or when it is free: that is the
batcher's business. What lies behind a sequence's end in its slot is garbage that attention never looks at.
"""

import torch
from torch import Tensor

from waggle.models.config import DecoderConfig


class SlotCache:
    """Preallocated keys and values, per layer of shape (slots, kv_heads, context, head_dim)."""

    def __init__(
        self,
        config: DecoderConfig,
        *,
        slots: int,
        context: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        shape = (config.layers, slots, config.kv_heads, context, config.head_dim)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.slots = slots
        self.context = context

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        """Reuse the first `length` positions of slot `source` in slot `target` (prefix reuse)."""
        self.keys[:, target, :, :length] = self.keys[:, source, :, :length]
        self.values[:, target, :, :length] = self.values[:, source, :, :length]


class CacheView:
    """The rows one forward pass works on: sequence b lies in slot `slots[b]` and continues at `starts[b]`."""

    def __init__(self, cache: SlotCache, slots: Tensor, starts: Tensor) -> None:
        self.cache = cache
        self.slots = slots  # (B,)
        self.starts = starts  # (B,)

    def positions(self, length: int) -> Tensor:
        """Absolute positions of the next `length` tokens, shape (B, length)."""
        return self.starts[:, None] + torch.arange(length, device=self.starts.device)

    def visible(self, length: int) -> Tensor:
        """Which cached positions each new token may attend to, boolean (B, 1, length, span)."""
        positions = self.positions(length)
        span = torch.arange(int(positions.max()) + 1, device=positions.device)
        return span[None, None, None, :] <= positions[:, None, :, None]

    def extend(self, layer: int, keys: Tensor, values: Tensor, span: int) -> tuple[Tensor, Tensor]:
        """Write the new keys and values (B, H, T, D) and return all up to `span`, (B, H, span, D)."""
        positions = self.positions(keys.shape[2])
        rows = self.slots[:, None]
        self.cache.keys[layer][rows, :, positions] = keys.transpose(1, 2).to(self.cache.keys.dtype)
        self.cache.values[layer][rows, :, positions] = values.transpose(1, 2).to(self.cache.values.dtype)
        return self.cache.keys[layer][self.slots, :, :span], self.cache.values[layer][self.slots, :, :span]
