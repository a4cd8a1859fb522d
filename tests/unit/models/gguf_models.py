"""Small random models of all three families to export, with the tokenizer that the bundled models share."""

from pathlib import Path

import torch
from msgspec.structs import replace
from tokenizers import Tokenizer

from waggle.models.checkpoint import save_checkpoint
from waggle.models.config import DecoderConfig
from waggle.models.decoder import Decoder
from waggle.models.hive import ModelCard, hive_names, hive_root, write_card
from waggle.models.prompts import CHAT_TEMPLATE, END, PADDING

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
CONFIGS = {
    "llama": replace(QWEN3, family="llama", qk_norm=False, attention_bias=True, output_bias=True),
    "qwen2": replace(QWEN3, family="qwen2", qk_norm=False, attention_bias=True, tied=False),
    "qwen3": QWEN3,
}


def hive_tokenizer() -> Tokenizer:
    """The bundled models' tokenizer."""
    return Tokenizer.from_file(str(hive_root() / hive_names()[0] / "tokenizer.json"))


def random_decoder(config: DecoderConfig = QWEN3) -> Decoder:
    """The same numbers each time."""
    decoder = Decoder(config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_(0, 0.15, generator=generator)
    return decoder


def save(folder: Path, decoder: Decoder, *, dtype: torch.dtype = torch.float16) -> Path:
    """A model folder with a card."""
    save_checkpoint(
        folder,
        decoder,
        hive_tokenizer(),
        chat_template=CHAT_TEMPLATE,
        end_token=END,
        padding_token=PADDING,
        dtype=dtype,
    )
    write_card(folder, ModelCard(name="tiny", licence="Apache-2.0"))
    return folder
