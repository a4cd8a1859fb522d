"""A `tokenizer.json` in GGUF's terms, or a refusal: llama.cpp has its own tokenizers and knows them by a name.

Only byte-level BPE with one of the patterns below is written, because only there do both sides provably cut a text
into the same tokens. Knows nothing of weights.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from tokenizers import Tokenizer

from waggle.core.errors import CheckpointError, UnsupportedModel
from waggle.models.chat_template import find_template
from waggle.models.config import load_json
from waggle.models.tokenizer import end_tokens, open_tokenizer, token_names

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # GGUF's kinds of tokens
NO_MERGES = "<none> <none>"  # llama.cpp wants a list of merges; no text is ever made of these two pieces
PLAIN_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"  # for models without one

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_BY_THREES = _CONTRACTIONS + r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + _REST
_BY_ONES = _CONTRACTIONS + r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + _REST
_GPT2 = "ByteLevel"
_DIGITS = "Digits ByteLevel"
PRE_TOKENIZERS = {
    # (how a text is cut, whole words before merges): llama.cpp's name
    (_BY_THREES, True): "llama-bpe",
    (_BY_THREES, False): "smaug-bpe",
    (_BY_ONES, False): "qwen2",
    (_GPT2, False): "gpt-2",
    (_DIGITS, False): "smollm",
}


class GgufTokenizer(Struct, frozen=True, kw_only=True):
    """What a GGUF file says about text; token ids are positions in `tokens`."""

    pre: str
    tokens: tuple[str, ...]
    kinds: tuple[int, ...]
    merges: tuple[str, ...]
    begin: int | None
    end: int
    other_end: int | None
    padding: int | None
    unknown: int | None
    begins_text: bool
    chat_template: str


def read_gguf_tokenizer(folder: Path, size: int) -> GgufTokenizer:
    """Translate the tokenizer of a model folder; `size` is the number of rows of the model's embedding.

    Raises:
        UnsupportedModel: llama.cpp has no tokenizer that does the same.
        CheckpointError: a file is missing or damaged, or has more tokens than the model.
    """
    path = folder / "tokenizer.json"
    raw, tokenizer = load_json(path), open_tokenizer(folder)
    pre = _pre_tokenizer(path, raw)
    tokens, kinds = _tokens(path, tokenizer, size)
    named = {name: tokenizer.token_to_id(text) for name, text in token_names(folder).items()}
    end, *others = end_tokens(folder, tokenizer)
    opening = tokenizer.encode("", add_special_tokens=True).ids
    return GgufTokenizer(
        pre=pre,
        tokens=tokens,
        kinds=kinds,
        merges=_merges(raw) or (NO_MERGES,),
        begin=named.get("bos_token"),
        end=end,
        other_end=next((other for other in others if other != end), None),
        padding=named.get("pad_token"),
        unknown=named.get("unk_token"),
        begins_text=opening[:1] == [named.get("bos_token")],
        chat_template=find_template(folder) or PLAIN_TEMPLATE,
    )


def _pre_tokenizer(path: Path, raw: Mapping[str, object]) -> str:
    """llama.cpp's name for how this tokenizer cuts a text before it merges."""
    model = _object(raw.get("model"))
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        raise UnsupportedModel(f"{path}: only byte-level BPE can be exported, this is {model.get('type')}")
    if _object(raw.get("normalizer")).get("type") not in (None, "NFC"):
        raise UnsupportedModel(f"{path}: its normalizer has no counterpart in llama.cpp")
    pattern = _pattern(_object(raw.get("pre_tokenizer")))
    name = PRE_TOKENIZERS.get((pattern, bool(model.get("ignore_merges"))))
    if name is None:
        raise UnsupportedModel(f"{path}: llama.cpp is not known to have its pre-tokenizer {pattern!r:.200}")
    return name


def _pattern(pre_tokenizer: Mapping[str, object]) -> str:
    """How a text is cut: the pattern itself, or the names of the steps."""
    listed = pre_tokenizer.get("pretokenizers")
    steps = [_object(step) for step in listed] if isinstance(listed, list) else [pre_tokenizer]
    match steps:
        case [{"type": "Split", "pattern": {"Regex": str(pattern)}, "behavior": "Isolated", "invert": False}, last]:
            return pattern if _is_byte_level(last, use_regex=False) else json.dumps(pre_tokenizer)
        case [last] if _is_byte_level(last, use_regex=True):
            return _GPT2
        case [{"type": "Digits", "individual_digits": True}, last] if _is_byte_level(last, use_regex=True):
            return _DIGITS
        case _:
            return json.dumps(pre_tokenizer)


def _is_byte_level(step: Mapping[str, object], *, use_regex: bool) -> bool:
    own = (step.get("add_prefix_space", True), step.get("use_regex", True))
    return step.get("type") == "ByteLevel" and own == (False, use_regex)


def _tokens(path: Path, tokenizer: Tokenizer, size: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Every id's text and kind; rows of the embedding without a token get a name that no text can have."""
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    if max(vocabulary.values(), default=-1) >= size:
        raise CheckpointError(f"{path} has {len(vocabulary)} tokens, the model only {size}")
    texts = [f"[PAD{number}]" for number in range(size)]
    kinds = [UNUSED] * size
    for text, number in vocabulary.items():
        texts[number], kinds[number] = text, NORMAL
    for number, token in tokenizer.get_added_tokens_decoder().items():
        kinds[number] = CONTROL if token.special else USER_DEFINED
    if len(set(texts)) < size:
        raise CheckpointError(f"{path}: two tokens have the same text")
    return tuple(texts), tuple(kinds)


def _merges(raw: Mapping[str, object]) -> tuple[str, ...]:
    """The merges, best first, each as two pieces with a space between them."""
    merges = _object(raw.get("model")).get("merges")
    return tuple(" ".join(merge) if isinstance(merge, list) else str(merge) for merge in _list(merges))


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()
