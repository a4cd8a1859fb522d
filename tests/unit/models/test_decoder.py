"""Two implementations, one answer: our decoders against transformers, on random small models of all three families."""

import random
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import transformers
from torch import Tensor

from waggle.models.cache import CacheView, CacheWindow, SlotCache
from waggle.models.checkpoint import load_decoder
from waggle.models.decoder import Decoder
from waggle.models.fused import FusedDecoder

CONTEXT, VOCABULARY, TOLERANCE = 48, 97, 1e-4
CLASSES = {
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM),
    "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM),
}


@dataclass(frozen=True)
class Pair:
    """One random model, ours and the reference's scores for any tokens (B, T)."""

    ours: Decoder
    reference: transformers.PreTrainedModel

    def expected(self, tokens: Tensor) -> Tensor:
        scores = self.reference(tokens).logits
        assert isinstance(scores, Tensor)
        return scores


def random_config(family: str, rng: random.Random) -> transformers.PreTrainedConfig:
    kv_heads = rng.choice([1, 2, 3])
    heads = kv_heads * rng.choice([1, 2, 3])
    options: dict[str, object] = {
        "vocab_size": VOCABULARY,
        "hidden_size": heads * rng.choice([16, 24]),
        "intermediate_size": rng.choice([40, 72]),
        "num_hidden_layers": rng.choice([1, 2, 3]),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": CONTEXT,
        "rope_parameters": {"rope_type": "default", "rope_theta": rng.choice([100.0, 10_000.0, 1_000_000.0])},
        "rms_norm_eps": rng.choice([1e-5, 1e-6]),
        "tie_word_embeddings": rng.random() < 0.5,
    }
    if family != "qwen2":
        options |= {"head_dim": rng.choice([8, 16, 32]), "attention_bias": rng.random() < 0.5}
    return CLASSES[family][0](**options)


@pytest.fixture(scope="module", params=[(family, seed) for family in CLASSES for seed in range(6)], ids=str)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    family, seed = request.param
    rng = random.Random(f"{family}{seed}")
    reference = CLASSES[family][1](random_config(family, rng)).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in reference.parameters():
            mean = 1.0 if parameter.dim() == 1 else 0.0
            parameter.normal_(mean, 0.2, generator=generator)
    folder: Path = tmp_path_factory.mktemp(family)
    reference.save_pretrained(folder, max_shard_size=rng.choice(["20KB", "1GB"]))
    return Pair(load_decoder(folder), reference)


def random_tokens(rows: int, length: int) -> Tensor:
    return torch.randint(VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(rows * length))


@torch.inference_mode()
def test_decoder_without_cache_gives_the_reference_scores(pair: Pair) -> None:
    tokens = random_tokens(3, 20)
    ours = pair.ours.logits(pair.ours(tokens))
    torch.testing.assert_close(ours, pair.expected(tokens), atol=TOLERANCE, rtol=0)


@torch.inference_mode()
def test_decoder_with_cache_gives_the_reference_scores_for_unequal_lengths(pair: Pair) -> None:
    tokens, starts = random_tokens(3, 24), torch.tensor([5, 11, 19])
    cache = SlotCache(pair.ours.config, slots=4, context=CONTEXT)
    slots = torch.tensor([2, 0, 3])
    pair.ours(tokens, CacheView(cache, slots, torch.zeros(3, dtype=torch.long)))
    rows = torch.arange(3)
    for step in range(4):
        view = CacheView(cache, slots, starts + step)
        scores = pair.ours.logits(pair.ours(tokens[rows, starts + step][:, None], view))[:, 0]
        expected = pair.expected(tokens)[rows, starts + step]
        torch.testing.assert_close(scores, expected, atol=TOLERANCE, rtol=0)


@torch.inference_mode()
@pytest.mark.parametrize("chunk", [5, 24])
def test_fused_decoder_gives_the_reference_scores_however_the_prompt_is_cut(pair: Pair, chunk: int) -> None:
    tokens = random_tokens(3, 24)
    fused = FusedDecoder(pair.ours)
    cache = SlotCache(pair.ours.config, slots=5, context=CONTEXT)
    scores = []
    for begin in range(0, 24, chunk):
        counts = [min(chunk, 24 - begin)] * 3
        window = CacheWindow(cache, first=1, starts=[begin] * 3, counts=counts, length=chunk)
        padded = torch.nn.functional.pad(tokens[:, begin : begin + chunk], (0, chunk - counts[0]))
        hidden = fused.forward(padded, window)[:, : counts[0]]
        scores.append(fused.logits(hidden.flatten(0, 1)).view(3, counts[0], -1))
    torch.testing.assert_close(torch.cat(scores, dim=1), pair.expected(tokens), atol=TOLERANCE, rtol=0)


@torch.inference_mode()
def test_fused_decoder_goes_on_from_copied_prefixes_of_unequal_length(pair: Pair) -> None:
    tokens = random_tokens(1, 30)
    fused = FusedDecoder(pair.ours)
    cache = SlotCache(pair.ours.config, slots=8, context=CONTEXT)
    fused.forward(tokens, CacheWindow(cache, first=7, starts=[0], counts=[30], length=30))
    starts = [3, 12, 21, 29]
    for slot, start in enumerate(starts):
        cache.copy_prefix(7, slot, start)
    following = tokens[0, torch.tensor(starts)][:, None]
    hidden = fused.forward(following, CacheWindow(cache, first=0, starts=starts, counts=[1] * 4, length=1))
    expected = pair.expected(tokens)[0, torch.tensor(starts)]
    torch.testing.assert_close(fused.logits(hidden[:, 0]), expected, atol=TOLERANCE, rtol=0)
