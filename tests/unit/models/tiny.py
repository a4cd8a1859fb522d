"""Small random models with the hive's real vocabulary, for tests; weights large enough that texts vary."""

from functools import cache
from pathlib import Path

import torch
from msgspec.structs import replace
from tokenizers import Tokenizer

from waggle.models.checkpoint import save_checkpoint
from waggle.models.config import DecoderConfig
from waggle.models.decoder import Decoder
from waggle.models.hive import ModelCard, write_card
from waggle.models.prompts import ANSWER_MARKER
from waggle.training.vocabulary import build_tokenizer

QWEN3 = DecoderConfig(
    family="qwen3",
    vocabulary=555,
    hidden=64,
    intermediate=128,
    layers=2,
    heads=2,
    kv_heads=1,
    head_dim=32,
    context=256,
    qk_norm=True,
)


@cache
def vocabulary() -> str:
    """The hive's `tokenizer.json`, made once."""
    return build_tokenizer().to_str()


def tiny_decoder(config: DecoderConfig = QWEN3, *, seed: int = 0) -> Decoder:
    """A random decoder of that shape."""
    decoder = Decoder(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_(0 if parameter.dim() > 1 else 1, 0.15, generator=generator)
    return decoder.eval()


def tiny_folder(folder: Path, *, seed: int = 0, marker: str | None = ANSWER_MARKER, context: int = 256) -> Path:
    """A model folder in `folder`; without a `marker` it has no waggle.json, like a model from elsewhere."""
    card = None if marker is None else ModelCard(name="tiny", answer_marker=marker, skills={"chain_sum": 0.5})
    return saved(folder, tiny_decoder(replace(QWEN3, context=context), seed=seed), card)


def saved(folder: Path, decoder: Decoder, card: ModelCard | None, *, dtype: torch.dtype = torch.float16) -> Path:
    """A model folder with this decoder and card."""
    save_checkpoint(folder, decoder, Tokenizer.from_str(vocabulary()), dtype=dtype)
    if card is not None:
        write_card(folder, card)
    return folder
