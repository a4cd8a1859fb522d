"""Every tokenizer that an export allows cuts any text in llama.cpp into the very tokens that it is cut into here."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from msgspec.structs import replace
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from tests.unit.models.tiny import QWEN3, tiny_decoder
from waggle.models.checkpoint import save_checkpoint
from waggle.models.gguf import export_gguf
from waggle.models.gguf_tokenizer import PRE_TOKENIZERS

SERVER = os.environ.get("WAGGLE_TEST_LLAMA_SERVER") or (sys.executable if find_spec("llama_cpp") else None)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(SERVER is None, reason="no llama_cpp, and WAGGLE_TEST_LLAMA_SERVER names no Python that has it"),
    pytest.mark.skipif(find_spec("gguf") is None, reason="the extra `export` is not installed"),
]

TOKENIZE = """
import json, sys
from llama_cpp import Llama
model = Llama(sys.argv[1], vocab_only=True, verbose=False)
texts = json.load(sys.stdin)
print(json.dumps([model.tokenize(text.encode(), add_bos=False, special=False) for text in texts]))
"""
CORPUS = [path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parents[2].glob("docs/*.md"))]
TEXTS = [
    "The quick brown fox doesn't jump; IT'S 1234567 o'clock, they'LL say.",
    "  two  spaces\n\n\nlines\r\n\ttabs \t end   ",
    "3.14159 + 2,000 = ?   x**2 != y[0] // 'z'",
    "na\u00efve caf\u00e9 \u0394x \u6f22\u5b57 \u0939\u093f\u0928\u094d\u0926\u0940",
    "\U0001f41d\U0001f41d \u2014 \u00bd \u0665\u0666",
    "<|end|> <|question|> |end|",
    "\u00a0\u2003a\u200bb",
    "",
    *(text[:3_000] for text in CORPUS[:4]),
]


def trained(pattern: str, *, whole_words: bool) -> Tokenizer:
    """A tokenizer that cuts in this way, with some hundred merges."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=whole_words))
    byte_level = pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=pattern in ("ByteLevel", "Digits ByteLevel")
    )
    steps: list[pre_tokenizers.PreTokenizer] = [byte_level]
    if pattern == "Digits ByteLevel":
        steps.insert(0, pre_tokenizers.Digits(individual_digits=True))
    elif pattern != "ByteLevel":
        steps.insert(0, pre_tokenizers.Split(Regex(pattern), "isolated"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps) if len(steps) > 1 else byte_level
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|pad|>", "<|end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def save(folder: Path, tokenizer: Tokenizer) -> None:
    decoder = tiny_decoder(replace(QWEN3, vocabulary=tokenizer.get_vocab_size(), layers=1))
    save_checkpoint(folder, decoder, tokenizer)


def cut_by_llama_cpp(model: Path, texts: list[str]) -> list[list[int]]:
    command = [str(SERVER), "-c", TOKENIZE, str(model)]
    ran = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stderr[-2_000:]
    found: list[list[int]] = json.loads(ran.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(("pattern", "whole_words"), PRE_TOKENIZERS, ids=PRE_TOKENIZERS.values())
def test_both_cut_alike(tmp_path: Path, pattern: str, whole_words: bool) -> None:
    tokenizer = trained(pattern, whole_words=whole_words)
    save(tmp_path / "model", tokenizer)
    export_gguf(tmp_path / "model", tmp_path / "model.gguf")
    tokenizer.encode_special_tokens = True
    here = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
    assert max(map(len, here)) > 500
    assert cut_by_llama_cpp(tmp_path / "model.gguf", TEXTS) == here
