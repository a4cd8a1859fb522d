"""A tokenizer is described in llama.cpp's terms, or refused where llama.cpp would cut a text in another way."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.models.tiny import saved, tiny_decoder
from waggle.core.errors import CheckpointError, UnsupportedModel
from waggle.models.config import load_json
from waggle.models.gguf_tokenizer import (
    CONTROL,
    NO_MERGES,
    NORMAL,
    PLAIN_TEMPLATE,
    UNUSED,
    USER_DEFINED,
    GgufTokenizer,
    read_gguf_tokenizer,
)
from waggle.models.prompts import CHAT_TEMPLATE, SPECIAL_TOKENS

SIZE = 555  # tokens of the hive
QWEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

Json = dict[str, object]
Change = Callable[[dict[str, Json]], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return saved(tmp_path / "model", tiny_decoder(), None)


def edit(path: Path, change: Callable[[Any], object]) -> None:
    raw = json.loads(path.read_bytes())
    change(raw)
    path.write_text(json.dumps(raw))


def described(folder: Path, change: Change) -> GgufTokenizer:
    edit(folder / "tokenizer.json", change)
    return read_gguf_tokenizer(folder, SIZE)


def split_by(pattern: str) -> Change:
    """Cut by another pattern, and merge as usual."""

    def change(raw: dict[str, Json]) -> None:
        steps = raw["pre_tokenizer"]["pretokenizers"]
        assert isinstance(steps, list)
        steps[0]["pattern"]["Regex"] = pattern
        raw["model"]["ignore_merges"] = False

    return change


def byte_level(*, use_regex: bool = True, add_prefix_space: bool = False) -> Json:
    return {"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": True, "use_regex": use_regex}


def test_the_hive_cuts_as_llama_3_does_and_takes_whole_words_first(folder: Path) -> None:
    tokenizer = read_gguf_tokenizer(folder, SIZE)
    assert tokenizer.pre == "llama-bpe"
    assert tokenizer.merges == (NO_MERGES,)
    assert (tokenizer.begin, tokenizer.begins_text) == (None, False)
    assert tokenizer.chat_template == CHAT_TEMPLATE


def test_tokens_stand_at_their_ids_and_special_ones_are_marked(folder: Path) -> None:
    tokenizer = read_gguf_tokenizer(folder, SIZE)
    vocabulary = load_json(folder / "tokenizer.json")["model"]["vocab"]  # type: ignore[index]
    assert {text: number for number, text in enumerate(tokenizer.tokens)} == vocabulary
    assert tokenizer.tokens[:4] == SPECIAL_TOKENS
    assert tokenizer.kinds == (CONTROL,) * 4 + (NORMAL,) * (SIZE - 4)
    assert (tokenizer.tokens[tokenizer.end], tokenizer.padding) == ("<|end|>", 0)


def test_rows_without_a_token_get_a_name_and_are_marked_unused(folder: Path) -> None:
    tokenizer = read_gguf_tokenizer(folder, SIZE + 2)
    assert tokenizer.tokens[SIZE:] == ("[PAD555]", "[PAD556]")
    assert tokenizer.kinds[SIZE:] == (UNUSED, UNUSED)


def test_an_added_token_that_is_not_special_stays_visible(folder: Path) -> None:
    def change(raw: dict[str, Json]) -> None:
        raw["added_tokens"][2]["special"] = False  # type: ignore[index]

    assert described(folder, change).kinds[2] == USER_DEFINED


def test_merges_are_written_as_two_pieces_with_a_space(folder: Path) -> None:
    merges = [["Ġ", "a"], ["Ġ", "y"]]
    assert described(folder, lambda raw: raw["model"].update(merges=merges)).merges == ("Ġ a", "Ġ y")


@pytest.mark.parametrize(
    ("change", "pre"),
    [
        (split_by(QWEN_PATTERN), "qwen2"),
        (lambda raw: raw["model"].update(ignore_merges=False), "smaug-bpe"),
        (lambda raw: (raw.update(pre_tokenizer=byte_level()), raw["model"].update(ignore_merges=False)), "gpt-2"),
        (
            lambda raw: (
                raw.update(
                    pre_tokenizer={
                        "type": "Sequence",
                        "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level()],
                    }
                ),
                raw["model"].update(ignore_merges=False),
            ),
            "smollm",
        ),
    ],
)
def test_other_known_ways_to_cut_have_their_names(folder: Path, change: Change, pre: str) -> None:
    assert described(folder, change).pre == pre


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (split_by(r"\w+"), "pre-tokenizer"),
        (lambda raw: raw.update(pre_tokenizer=byte_level()), "pre-tokenizer"),  # whole words first: not GPT-2
        (lambda raw: raw["pre_tokenizer"].update(pretokenizers=[byte_level(use_regex=False)]), "pre-tokenizer"),
        (
            lambda raw: (
                raw.update(pre_tokenizer=byte_level(add_prefix_space=True)),
                raw["model"].update(ignore_merges=False),
            ),
            "pre-tokenizer",
        ),
        (lambda raw: raw["model"].update(byte_fallback=True), "only byte-level BPE"),
        (lambda raw: raw.update(normalizer={"type": "Lowercase"}), "normalizer"),
    ],
)
def test_what_llama_cpp_would_cut_otherwise_is_refused(folder: Path, change: Change, complaint: str) -> None:
    with pytest.raises(UnsupportedModel, match=complaint):
        described(folder, change)


def test_a_wordpiece_tokenizer_is_refused(folder: Path) -> None:
    model = {"type": "WordPiece", "unk_token": "a", "continuing_subword_prefix": "##", "max_input_chars_per_word": 9}
    with pytest.raises(UnsupportedModel, match="this is WordPiece"):
        described(folder, lambda raw: raw["model"].update(model))


def test_more_tokens_than_the_model_has_rows_are_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="555 tokens, the model only 554"):
        read_gguf_tokenizer(folder, SIZE - 1)


def test_two_end_tokens_are_both_told(folder: Path) -> None:
    edit(folder / "generation_config.json", lambda raw: raw.update(eos_token_id=[3, 2]))
    tokenizer = read_gguf_tokenizer(folder, SIZE)
    assert (tokenizer.end, tokenizer.other_end) == (3, 2)


def test_a_folder_without_an_end_token_is_refused(folder: Path) -> None:
    for name in ("config.json", "generation_config.json"):
        edit(folder / name, lambda raw: raw.pop("eos_token_id"))
    edit(folder / "tokenizer_config.json", lambda raw: raw.pop("eos_token"))
    with pytest.raises(CheckpointError, match="names an end token"):
        read_gguf_tokenizer(folder, SIZE)


def test_a_model_without_a_template_is_asked_with_the_bare_question(folder: Path) -> None:
    edit(folder / "tokenizer_config.json", lambda raw: raw.pop("chat_template"))
    assert read_gguf_tokenizer(folder, SIZE).chat_template == PLAIN_TEMPLATE


def test_a_text_that_begins_with_a_token_of_its_own_says_so(folder: Path) -> None:
    start = {"SpecialToken": {"id": "<|pad|>", "type_id": 0}}
    processor: Json = {
        "type": "TemplateProcessing",
        "single": [start, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [start, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<|pad|>": {"id": "<|pad|>", "ids": [0], "tokens": ["<|pad|>"]}},
    }
    edit(folder / "tokenizer_config.json", lambda raw: raw.update(bos_token="<|pad|>"))
    tokenizer = described(folder, lambda raw: raw.update(post_processor=processor))
    assert (tokenizer.begin, tokenizer.begins_text) == (0, True)
