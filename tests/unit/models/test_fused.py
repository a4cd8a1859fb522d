"""A row's bits depend on nothing but the row: not on its company, not on how its tokens were cut into passes."""

import random
from collections.abc import Iterator

import msgspec
import pytest
import torch
from torch import Tensor

from tests.unit.models.tiny import tiny_decoder
from waggle.models.cache import CacheWindow, SlotCache
from waggle.models.config import DecoderConfig
from waggle.models.fused import FusedDecoder, one_thread, smallest_invariant_rows

CONTEXT, VOCABULARY = 400, 131


def shape(family: str, hidden: int, heads: int, kv_heads: int, head_dim: int) -> DecoderConfig:
    return DecoderConfig(
        family=family,
        vocabulary=VOCABULARY,
        hidden=hidden,
        intermediate=hidden * 8 // 3,
        layers=2,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        context=CONTEXT,
        attention_bias=family == "qwen2",
        qk_norm=family == "qwen3",
    )


SHAPES = {
    "hive-96": shape("qwen2", 96, 3, 1, 32),
    "hive-128": shape("qwen3", 128, 2, 1, 64),
    "hive-160": shape("llama", 160, 4, 1, 32),
    "two-kv": shape("llama", 128, 4, 2, 32),
    "no-groups": shape("qwen3", 64, 3, 3, 64),
}


@pytest.fixture(scope="module", params=SHAPES)
def fused(request: pytest.FixtureRequest) -> FusedDecoder:
    return FusedDecoder(tiny_decoder(SHAPES[request.param], seed=5).requires_grad_(False))


@pytest.fixture(autouse=True)
def one_core() -> Iterator[None]:
    with one_thread():
        yield


class Run:
    """Feeds sequences into cache slots in passes of any cut and company, and keeps the scores of every position."""

    def __init__(self, fused: FusedDecoder, sequences: list[list[int]]) -> None:
        self.fused = fused
        self.sequences = sequences
        self.cache = SlotCache(fused.config, slots=32, context=CONTEXT)
        self.scores: list[list[Tensor]] = [[] for _ in sequences]

    def feed(self, first: int, counts: list[int], length: int) -> None:
        """The next `counts` tokens of sequences first, first + 1, ...; as many rows of padding as the floor asks."""
        rows = range(first, first + len(counts))
        starts = [len(self.scores[row]) for row in rows]
        padding = max(0, self.fused.row_floor - len(counts)) if length == 1 else 0
        tokens = [
            [*self.sequences[row][start : start + count], *[0] * (length - count)]
            for row, start, count in zip(rows, starts, counts, strict=True)
        ]
        window = CacheWindow(
            self.cache, first=first, starts=starts + [0] * padding, counts=counts + [0] * padding, length=length
        )
        hidden = self.fused.forward(torch.tensor(tokens + [[0] * length] * padding), window)
        for row, sequence, count in zip(range(len(counts)), rows, counts, strict=True):
            self.scores[sequence] += list(self.fused.logits(hidden[row, :count]))


def sequences_of(rng: random.Random, number: int, longest: int) -> list[list[int]]:
    return [[rng.randrange(VOCABULARY) for _ in range(rng.randint(8, longest))] for _ in range(number)]


def alone(fused: FusedDecoder, sequence: list[int]) -> Tensor:
    """The scores of one sequence that has the decoder to itself, computed in one pass."""
    run = Run(fused, [sequence])
    run.feed(0, [len(sequence)], max(len(sequence), fused.row_floor))
    return torch.stack(run.scores[0])


@torch.inference_mode()
@pytest.mark.parametrize("seed", range(3))
def test_bits_do_not_depend_on_company_or_cut(fused: FusedDecoder, seed: int) -> None:
    rng = random.Random(seed)
    run = Run(fused, sequences_of(rng, 11, 300))
    while left := [len(run.sequences[row]) - len(run.scores[row]) for row in range(11)]:
        waiting = [row for row in range(11) if left[row]]
        if not waiting:
            break
        first = rng.choice(waiting)
        stop = next((row for row in range(first, 11) if not left[row]), 11)
        stop = rng.randint(first + 1, stop)
        length = rng.choice([1, 4, 7, 33, 64])
        counts = [min(left[row], rng.randint(1, length)) for row in range(first, stop)]
        run.feed(first, counts, length)
    for sequence, scores in zip(run.sequences, run.scores, strict=True):
        assert torch.equal(torch.stack(scores), alone(fused, sequence)), f"seed {seed}"


@torch.inference_mode()
def test_bits_of_one_token_steps_are_those_of_one_pass_beyond_a_key_block(fused: FusedDecoder) -> None:
    sequence = [number * 7 % VOCABULARY for number in range(290)]
    run = Run(fused, [sequence])
    run.feed(0, [250], 250)
    for _ in range(250, 290):
        run.feed(0, [1], 1)
    assert torch.equal(torch.stack(run.scores[0]), alone(fused, sequence))


def test_a_row_floor_is_found_where_kernels_differ() -> None:
    def uneven(x: Tensor, matrix: Tensor) -> Tensor:
        """Products of fewer than 6 rows are a little off."""
        return x @ matrix + (1e-3 if x.shape[0] < 6 else 0.0)

    matrix = torch.randn(16, 24, generator=torch.Generator().manual_seed(0))
    assert smallest_invariant_rows([matrix], uneven) == 6


def test_the_context_can_be_shortened_only(fused: FusedDecoder) -> None:
    decoder = tiny_decoder(msgspec.structs.replace(fused.config, context=50))
    assert FusedDecoder(decoder, context=20).context == 20
    assert FusedDecoder(decoder, context=4_096).context == 50
