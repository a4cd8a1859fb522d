"""Small random models with the hive's real vocabulary, for tests; weights large enough that texts vary."""

from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer

from waggle.models.checkpoint import save_checkpoint
from waggle.models.config import DecoderConfig
from waggle.models.decoder import Decoder
from waggle.models.hive import ModelCard, write_card
from waggle.models.prompts import ANSWER_MARKER, CHAT_TEMPLATE, END, PADDING
from waggle.training.vocabulary import build_tokenizer


@cache
def vocabulary() -> str:
    """The hive's `tokenizer.json`, made once."""
    return build_tokenizer().to_str()


def tiny_decoder(*, seed: int = 0, hidden: int = 64, layers: int = 2, context: int = 256) -> Decoder:
    """A random Qwen3 decoder with 2 heads on 1 key/value head."""
    config = DecoderConfig(
        family="qwen3",
        vocabulary=Tokenizer.from_str(vocabulary()).get_vocab_size(),
        hidden=hidden,
        intermediate=2 * hidden,
        layers=layers,
        heads=2,
        kv_heads=1,
        head_dim=32,
        context=context,
        qk_norm=True,
    )
    decoder = Decoder(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_(0 if parameter.dim() > 1 else 1, 0.15, generator=generator)
    return decoder.eval()


def tiny_folder(folder: Path, *, seed: int = 0, marker: str | None = ANSWER_MARKER, context: int = 256) -> Path:
    """A model folder in `folder`; without a `marker` it has no waggle.json, like a model from elsewhere."""
    save_checkpoint(
        folder,
        tiny_decoder(seed=seed, context=context),
        Tokenizer.from_str(vocabulary()),
        chat_template=CHAT_TEMPLATE,
        end_token=END,
        padding_token=PADDING,
    )
    if marker is not None:
        write_card(folder, ModelCard(name="tiny", answer_marker=marker, skills={"chain_sum": 0.5}))
    return folder
