"""Keys and values of many sequences at once, one slot each, so that unequal lengths decode in one batch.

A slot is a row of fixed capacity. Nothing here knows whose sequence a slot holds, or when it is free: that is the
batcher's business. What lies behind a sequence's end in its slot is garbage that attention never looks at. The last
position of every slot is nobody's: padding is written there.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from waggle.models.config import DecoderConfig

SPAN_STEP = 16  # attention runs over a multiple of this many positions; `fused.py` says why


class SlotCache:
    """Preallocated keys and values, per layer of shape (slots, kv_heads, capacity, head_dim)."""

    def __init__(
        self,
        config: DecoderConfig,
        *,
        slots: int,
        context: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.capacity = round_up(context + 1, SPAN_STEP)
        shape = (config.layers, slots, config.kv_heads, self.capacity, config.head_dim)
        self.keys = _zeros(shape, dtype, device)
        self.values = _zeros(shape, dtype, device)
        self.slots = slots
        self.places = torch.arange(self.capacity, device=device)
        lanes = torch.arange(slots * config.kv_heads, device=device) * self.capacity
        self.lanes = lanes.view(slots, 1, config.kv_heads)  # where each row's heads begin, counted in positions
        self.layers = [(_views(keys), _views(values)) for keys, values in zip(self.keys, self.values, strict=True)]

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        """Reuse the first `length` positions of slot `source` in slot `target` (prefix reuse)."""
        self.keys[:, target, :, :length] = self.keys[:, source, :, :length]
        self.values[:, target, :, :length] = self.values[:, source, :, :length]

    def read(self, slot: int, length: int) -> tuple[Tensor, Tensor]:
        """A copy of the first `length` keys and values of a slot, each (layers, kv_heads, length, head_dim)."""
        return self.keys[:, slot, :, :length].clone(), self.values[:, slot, :, :length].clone()

    def write(self, slot: int, keys: Tensor, values: Tensor) -> None:
        """Put back what `read` gave."""
        length = keys.shape[2]
        self.keys[:, slot, :, :length] = keys
        self.values[:, slot, :, :length] = values


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


class CacheWindow:
    """The contiguous slots first, first + 1, ... that one fused pass works on: no row is gathered or copied.

    Row b continues at position `starts[b]` with `counts[b]` tokens; the rest of its T tokens is padding, which sits at
    the slot's spare position. What all layers share is worked out here, once.
    """

    def __init__(
        self, cache: SlotCache, *, first: int, starts: Sequence[int], counts: Sequence[int], length: int
    ) -> None:
        ends = [start + count for start, count in zip(starts, counts, strict=True)]
        spare = cache.capacity - 1
        places = [
            [*range(start, end), *[spare] * (length - end + start)] for start, end in zip(starts, ends, strict=True)
        ]
        self._cache = cache
        self.span = round_up(max(*ends, 1), SPAN_STEP)
        self.positions = torch.tensor(places, device=cache.keys.device)  # (B, T)
        lanes = cache.lanes[first : first + len(starts)]  # (B, 1, kv_heads)
        self.written = (lanes + self.positions[:, :, None]).flatten()  # (B * T * kv_heads,)
        hidden = cache.places[: self.span] > self.positions[:, :, None]
        self.mask = torch.zeros_like(hidden, dtype=cache.keys.dtype).masked_fill_(hidden, -torch.inf)  # (B, T, span)
        self._rows = slice(first * lanes.shape[2], (first + len(starts)) * lanes.shape[2])

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write new keys and values (B * T, kv_heads, D); return all of the window, (B * kv_heads, span, D)."""
        (flat_keys, all_keys), (flat_values, all_values) = self._cache.layers[layer]
        flat_keys.index_copy_(0, self.written, keys.flatten(0, 1))
        flat_values.index_copy_(0, self.written, values.flatten(0, 1))
        return all_keys[self._rows, : self.span], all_values[self._rows, : self.span]


def round_up(number: int, step: int) -> int:
    """The smallest multiple of `step` that is not below `number`."""
    return -(-number // step) * step


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device | str) -> Tensor:
    """Zeros; on a CPU in memory that is not taken from the system before it is first written to."""
    if dtype is torch.float32 and torch.device(device).type == "cpu":
        return torch.from_numpy(np.zeros(shape, dtype=np.float32))
    return torch.zeros(shape, dtype=dtype, device=device)


def _views(part: Tensor) -> tuple[Tensor, Tensor]:
    """One layer's keys or values by position, (slots * kv_heads * capacity, D), and by row and head."""
    by_head = part.flatten(0, 1)
    return by_head.flatten(0, 1), by_head
