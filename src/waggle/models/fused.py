"""The decoder as it answers: the same network with its weights fused, for few operations a token.

At the hive's size a token costs what its operations cost to start, so the projections that read the same input are one
matrix, norm weights and the attention's scale are folded into the matrices behind them, and rotary tables exist
beforehand. State dicts keep their Hugging Face names: this is built from a loaded `Decoder` and never saved.

Batch invariance: a row's result has the same bits whatever else is in the batch, however its tokens were cut into
passes, and whether its prefix was computed or copied. Measured with MKL on an AVX-512 CPU, a matrix product's rows
depend on how many there are below 4 rows (2 and 3 rows, and 1, go through other kernels), and the sum over keys
depends on the span from about 200 keys on, where MKL begins to cut it. So every product has at least `row_floor` rows
(found out when the model is loaded, 4 there), spans are multiples of 16, and keys are summed in blocks of 128. All of
it holds for one thread: with two, MKL cuts products according to their size, and bits depend on the batch again.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from waggle.models.cache import SPAN_STEP, CacheWindow, round_up
from waggle.models.config import DecoderConfig
from waggle.models.decoder import Attention, Decoder, Layer, RMSNorm, rotary_table

KEY_BLOCK = 128  # keys that are summed in one product
MOST_ROWS = 32  # the largest floor that is tried


@dataclass(frozen=True)
class Pass:
    """What all layers of one pass share: rotary tables (B * T, 1, D), the mask, and room for too few queries."""

    window: CacheWindow
    length: int
    cosine: Tensor
    sine: Tensor
    mask: Tensor
    room: Tensor


class FusedLayer:
    """One layer: weights with input features first (x @ weight), and what it does with them."""

    def __init__(self, layer: Layer, config: DecoderConfig) -> None:
        attention, feed_forward = layer.self_attn, layer.mlp
        self.heads, self.kv_heads, self.head_dim = config.heads, config.kv_heads, config.head_dim
        self.turned = config.heads + config.kv_heads  # heads that rotate: queries and keys
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        self.qkv, self.qkv_bias = _fused(layer.input_layernorm, *projections)
        self.qk_weight = _head_norms(attention)
        self._fold_scale()
        self.out = attention.o_proj.weight.detach().t().contiguous()
        self.out_bias: Tensor | None = attention.o_proj.bias
        self.gate_up, _ = _fused(layer.post_attention_layernorm, feed_forward.gate_proj, feed_forward.up_proj)
        self.down = feed_forward.down_proj.weight.detach().t().contiguous()
        self._floor = _norm_floor(config.hidden, config.norm_epsilon, self.down.device)
        self._head_floor = _norm_floor(config.head_dim, config.norm_epsilon, self.down.device)

    def __call__(self, x: Tensor, index: int, shared: Pass) -> Tensor:
        """x (B * T, E) -> (B * T, E); `index` says which layer's keys and values these are."""
        mixed = self._attend(unit(x, self._floor), index, shared)
        x = torch.addmm(x if self.out_bias is None else x + self.out_bias, mixed, self.out)
        gate, up = (unit(x, self._floor) @ self.gate_up).chunk(2, dim=-1)
        return torch.addmm(x, functional.silu(gate, inplace=True).mul_(up), self.down)

    def _attend(self, x: Tensor, index: int, shared: Pass) -> Tensor:
        """Normalised x (B * T, E) -> (B * T, heads * D)."""
        qkv = x @ self.qkv if self.qkv_bias is None else torch.addmm(self.qkv_bias, x, self.qkv)
        qkv = qkv.view(-1, self.turned + self.kv_heads, self.head_dim)  # (B * T, heads, D)
        qk = qkv[:, : self.turned]
        if self.qk_weight is not None:
            qk = unit(qk, self._head_floor) * self.qk_weight
        qk = torch.addcmul(qk * shared.cosine, qk.roll(self.head_dim // 2, -1), shared.sine)
        keys, values = qk[:, self.heads :], qkv[:, self.turned :]
        q = self._grouped(qk[:, : self.heads], shared)
        return self._ungrouped(attend(q, *shared.window.extend(index, keys, values), shared.mask), shared.length)

    def _grouped(self, q: Tensor, shared: Pass) -> Tensor:
        """Queries (B * T, heads, D) beside the keys they look at: (B * kv_heads, rows, D), at least row_floor rows."""
        rows = shared.length * self.heads // self.kv_heads
        if shared.length > 1:
            q = q.view(-1, shared.length, self.kv_heads, self.heads // self.kv_heads, self.head_dim).transpose(1, 2)
        q = q.reshape(-1, rows, self.head_dim)
        if rows == shared.room.shape[1]:
            return q
        shared.room[:, :rows].copy_(q)
        return shared.room

    def _ungrouped(self, mixed: Tensor, length: int) -> Tensor:
        """The way back, to (B * T, heads * D)."""
        mixed = mixed[:, : length * self.heads // self.kv_heads]
        if length > 1:
            groups = self.heads // self.kv_heads
            mixed = mixed.reshape(-1, self.kv_heads, length, groups, self.head_dim).transpose(1, 2)
        return mixed.reshape(-1, self.heads * self.head_dim)

    def _fold_scale(self) -> None:
        """The attention's 1 / sqrt(D) goes to the queries, once for all."""
        scale = self.head_dim**-0.5
        if self.qk_weight is not None:
            self.qk_weight[: self.heads] *= scale
            return
        self.qkv[:, : self.heads * self.head_dim] *= scale
        if self.qkv_bias is not None:
            self.qkv_bias[: self.heads * self.head_dim] *= scale


class FusedDecoder:
    """Computes hidden states and scores of contiguous cache rows; reads a `Decoder`'s weights once."""

    def __init__(self, decoder: Decoder, *, context: int | None = None) -> None:
        """`context` bounds the tokens of a sequence below what the model allows."""
        self.config = config = decoder.config
        self.context = min(config.context, context or config.context)
        self.dtype = decoder.lm_head.weight.dtype
        self.device = decoder.lm_head.weight.device
        self.parameters = sum(parameter.numel() for parameter in decoder.parameters())
        self.embedding = decoder.model.embed_tokens.weight.detach()
        self.head = decoder.lm_head.weight.detach()
        self.norm_weight = decoder.model.norm.weight.detach() * math.sqrt(config.hidden)
        self.layers = [FusedLayer(layer, config) for layer in decoder.model.layers if isinstance(layer, Layer)]
        self.cosine, self.sine = self._rotary(round_up(self.context + 1, SPAN_STEP))
        self._floor = _norm_floor(config.hidden, config.norm_epsilon, self.device)
        self.row_floor = smallest_invariant_rows(self._matrices())

    def forward(self, tokens: Tensor, window: CacheWindow) -> Tensor:
        """Hidden states (B, T, E), after the final norm, of tokens (B, T) with B * T >= row_floor."""
        batch, length = tokens.shape
        shared = self._shared(window, batch, length)
        x = self.embedding.index_select(0, tokens.flatten())  # (B * T, E)
        for index, layer in enumerate(self.layers):
            x = layer(x, index, shared)
        return (unit(x, self._floor) * self.norm_weight).view(batch, length, -1)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of every next token: (N, E) -> (N, vocabulary)."""
        rows = hidden.shape[0]
        if rows < self.row_floor:
            hidden = functional.pad(hidden, (0, 0, 0, self.row_floor - rows))
        return functional.linear(hidden, self.head)[:rows]

    def _shared(self, window: CacheWindow, batch: int, length: int) -> Pass:
        config = self.config
        positions = window.positions.flatten()
        cosine, sine = (table.index_select(0, positions)[:, None] for table in (self.cosine, self.sine))
        rows = max(self.row_floor, length * config.heads // config.kv_heads)
        room = cosine.new_zeros(batch * config.kv_heads, rows, config.head_dim)
        return Pass(window, length, cosine, sine, self._mask(window, length), room)

    def _mask(self, window: CacheWindow, length: int) -> Tensor:
        """What the grouped queries must not see, added to their scores: (B * kv_heads, rows or 1, span)."""
        config = self.config
        mask = window.mask
        if length == 1:
            return mask if config.kv_heads == 1 else mask.repeat_interleave(config.kv_heads, dim=0)
        groups = config.heads // config.kv_heads
        shape = (mask.shape[0], config.kv_heads, length, groups, window.span)
        mask = mask[:, None, :, None].expand(shape).reshape(-1, length * groups, window.span)
        missing = self.row_floor - length * groups
        return functional.pad(mask, (0, 0, 0, missing)) if missing > 0 else mask

    def _rotary(self, positions: int) -> tuple[Tensor, Tensor]:
        """Tables of shape (positions, D); the sine's first half is negative, so that a roll does the turning."""
        where = torch.arange(positions, device=self.device)
        cosine, sine = rotary_table(where, self.config.head_dim, self.config.rope_theta)
        sine[:, : self.config.head_dim // 2] *= -1
        return cosine.to(self.dtype), sine.to(self.dtype)

    def _matrices(self) -> list[Tensor]:
        layer = self.layers[0]
        return [layer.qkv, layer.out, layer.gate_up, layer.down, self.head.t()]


def attend(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """softmax(q @ keys + mask) @ values for q (N, R, D) and keys, values (N, S, D); q is scaled already."""
    shares = torch.baddbmm(mask, q, keys.transpose(1, 2)).softmax(dim=-1)  # (N, R, S)
    if shares.shape[2] <= KEY_BLOCK:
        return torch.bmm(shares, values)
    mixed = torch.bmm(shares[:, :, :KEY_BLOCK], values[:, :KEY_BLOCK])
    for begin in range(KEY_BLOCK, shares.shape[2], KEY_BLOCK):
        block = slice(begin, begin + KEY_BLOCK)
        mixed.baddbmm_(shares[:, :, block], values[:, block])
    return mixed


@torch.inference_mode()
def smallest_invariant_rows(matrices: list[Tensor], product: Callable[[Tensor, Tensor], Tensor] = torch.matmul) -> int:
    """From how many rows on a row of x @ matrix has the same bits however many rows x has, on this machine."""
    counts = [*range(1, MOST_ROWS), MOST_ROWS, 2 * MOST_ROWS + 1]
    floor = 1
    with one_thread():
        for matrix in matrices:
            x = torch.randn(counts[-1], matrix.shape[0], generator=torch.Generator().manual_seed(0)).to(matrix)
            whole = product(x, matrix)
            different = [count for count in counts if not torch.equal(product(x[:count], matrix), whole[:count])]
            floor = max([floor, *(count + 1 for count in different)])
    return min(floor, MOST_ROWS)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let the tensor operations of this thread (torch keeps the number for each) use one core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def unit(x: Tensor, floor: Tensor) -> Tensor:
    """x / sqrt(|x|^2 + floor^2) over the last dimension, in float32; RMSNorm's rest is in the weights behind it."""
    length = torch.linalg.vector_norm(x, 2, -1, True, dtype=torch.float32)
    scaled = x / torch.hypot(length, floor)
    return scaled if scaled.dtype is x.dtype else scaled.to(x.dtype)


def _norm_floor(size: int, epsilon: float, device: torch.device) -> Tensor:
    """RMSNorm's epsilon where the length, not the mean square, is taken: x / rms = sqrt(size) x / hypot(|x|, floor)."""
    return torch.tensor(math.sqrt(size * epsilon), device=device)


def _fused(norm: RMSNorm, *projections: nn.Module) -> tuple[Tensor, Tensor | None]:
    """One matrix (E, sum of outputs) for projections that read the same normalised input, and their biases."""
    linear = [projection for projection in projections if isinstance(projection, nn.Linear)]
    weight = torch.cat([projection.weight.detach().float() for projection in linear]).t()
    folded = norm.weight.detach().float() * math.sqrt(norm.weight.shape[0])
    named = [entry for projection in linear for entry in projection.named_parameters()]
    biases = [parameter.detach() for name, parameter in named if name == "bias"]
    return (weight * folded[:, None]).to(norm.weight.dtype).contiguous(), torch.cat(biases) if biases else None


def _head_norms(attention: Attention) -> Tensor | None:
    """Qwen3's norms on queries and keys, one weight per head (heads + kv_heads, D)."""
    if not isinstance(attention.q_norm, RMSNorm) or not isinstance(attention.k_norm, RMSNorm):
        return None
    queries = attention.q_norm.weight.detach().expand(attention.heads, -1)
    keys = attention.k_norm.weight.detach().expand(attention.kv_heads, -1)
    return torch.cat((queries, keys)) * math.sqrt(attention.head_dim)
