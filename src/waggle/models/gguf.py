"""Writes a model folder as one GGUF file, the format of llama.cpp and of the servers built on it.

Three families go in, the three that `load_decoder` reads. The file holds the weights in one number type (vectors in
float32, as llama.cpp wants them), the shape, the tokenizer and the chat template; what llama.cpp could not compute in
the same way is refused by name. Needs the package `gguf`, which is llama.cpp's own writer.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from waggle.core.errors import CheckpointError, UnsupportedModel, UsageError
from waggle.models.checkpoint import load_decoder
from waggle.models.config import DecoderConfig, load_json
from waggle.models.gguf_tokenizer import GgufTokenizer, read_gguf_tokenizer
from waggle.models.hive import ModelCard, read_card

if TYPE_CHECKING:
    from gguf import GGUFWriter  # type: ignore[import-not-found,unused-ignore]

NumberType = Literal["f32", "f16", "bf16"]
Progress = Callable[[int, int], None]
"""Tensors written, tensors in all."""

_TYPES = {"f32": "F32", "f16": "F16", "bf16": "BF16"}
_FILE_TYPES = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16"}
_PARTS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def export_gguf(
    folder: Path, out: Path, *, numbers: NumberType = "f32", tell: Progress = lambda _done, _all: None
) -> None:
    """Write the model in `folder` to `out`, which appears only once it is whole.

    Raises:
        UnsupportedModel: llama.cpp has no such architecture, option or tokenizer.
        CheckpointError: the folder is incomplete or damaged.
        UsageError: the package `gguf` is not installed.
    """
    try:
        from gguf import GGUFWriter, LlamaFileType
    except ImportError:
        raise UsageError("this needs one more package: pip install 'waggle[export]'") from None
    decoder = load_decoder(folder, dtype=_own_type(folder))
    check_shape(decoder.config)
    tokenizer = read_gguf_tokenizer(folder, decoder.config.vocabulary)
    tensors = {
        tensor_name(name): _turned(name, parameter.detach(), decoder.config)
        for name, parameter in decoder.named_parameters()
    }
    with _finished_file(out) as unfinished, closing(GGUFWriter(unfinished, decoder.config.family)) as writer:
        _add_name(writer, read_card(folder), folder.resolve().name)
        writer.add_file_type(LlamaFileType[_FILE_TYPES[numbers]])
        _add_shape(writer, decoder.config)
        _add_tokenizer(writer, tokenizer)
        _add_tensors(writer, tensors, numbers, tell)


def check_shape(config: DecoderConfig) -> None:
    """Raise UnsupportedModel where llama.cpp computes this family only in another shape."""
    if config.family == "qwen2" and config.heads * config.head_dim != config.hidden:
        raise UnsupportedModel("llama.cpp knows Qwen2 only with heads * head_dim equal to hidden_size")
    if config.family == "qwen3" and (config.attention_bias or config.output_bias):
        raise UnsupportedModel("llama.cpp knows Qwen3 only without attention_bias")


def tensor_name(name: str) -> str:
    """llama.cpp's name of a tensor: "model.layers.2.mlp.up_proj.weight" is "blk.2.ffn_up.weight"."""
    stem, _, kind = name.rpartition(".")
    if stem in _WHOLE:
        return f"{_WHOLE[stem]}.{kind}"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{_PARTS[part]}.{kind}"


def interleave_halves(tensor: Tensor, heads: int) -> Tensor:
    """Order each head's rows as llama.cpp's Llama turns them: (0, 1), (2, 3)... in place of (i, i + D/2).

    One head of four rows [a b c d] becomes [a c b d].
    """
    return tensor.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2).contiguous()


def _turned(name: str, tensor: Tensor, config: DecoderConfig) -> Tensor:
    """The tensor as llama.cpp's rotary positions want it; Qwen's are the same as ours."""
    if config.family != "llama" or not name.rpartition(".")[0].endswith(("q_proj", "k_proj")):
        return tensor
    return interleave_halves(tensor, config.heads if "q_proj" in name else config.kv_heads)


def _add_name(writer: "GGUFWriter", card: ModelCard, folder_name: str) -> None:
    writer.add_name(card.name or folder_name)
    if card.licence:
        writer.add_license(card.licence)


def _add_shape(writer: "GGUFWriter", config: DecoderConfig) -> None:
    from gguf import PoolingType

    writer.add_vocab_size(config.vocabulary)
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.hidden)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.intermediate)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.norm_epsilon)
    writer.add_pooling_type(PoolingType.MEAN)  # of a text's hidden states: what waggle's own `embed` gives


def _add_tokenizer(writer: "GGUFWriter", tokenizer: GgufTokenizer) -> None:
    writer.add_tokenizer_model("gpt2")  # which is what llama.cpp calls every byte-level BPE
    writer.add_tokenizer_pre(tokenizer.pre)
    writer.add_token_list(tokenizer.tokens)
    writer.add_token_types(tokenizer.kinds)
    writer.add_token_merges(tokenizer.merges)
    writer.add_eos_token_id(tokenizer.end)
    for number, add in (
        (tokenizer.begin, writer.add_bos_token_id),
        (tokenizer.other_end, writer.add_eot_token_id),
        (tokenizer.padding, writer.add_pad_token_id),
        (tokenizer.unknown, writer.add_unk_token_id),
    ):
        if number is not None:
            add(number)
    writer.add_add_bos_token(tokenizer.begins_text)
    writer.add_add_eos_token(False)
    writer.add_chat_template(tokenizer.chat_template)


def _add_tensors(writer: "GGUFWriter", tensors: Mapping[str, Tensor], numbers: NumberType, tell: Progress) -> None:
    """First what there is, then the numbers, one tensor at a time."""
    from gguf import GGMLQuantizationType

    kinds = {name: _TYPES["f32" if tensor.dim() == 1 else numbers] for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        size = tensor.numel() * (4 if kinds[name] == "F32" else 2)
        kind = GGMLQuantizationType[kinds[name]]
        writer.add_tensor_info(name, tuple(tensor.shape), np.dtype(np.float32), size, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for done, (name, tensor) in enumerate(tensors.items()):
        tell(done, len(tensors))
        writer.write_tensor_data(_as_numbers(tensor, kinds[name]))
    tell(len(tensors), len(tensors))


def _as_numbers(tensor: Tensor, kind: str) -> "np.ndarray[tuple[int, ...], np.dtype[np.generic]]":
    if kind == "BF16":  # numpy has no such type; the bits are the same
        return tensor.to(torch.bfloat16).contiguous().view(torch.int16).numpy()
    written = tensor.to(torch.float16 if kind == "F16" else torch.float32)
    if not written.isfinite().all():
        raise CheckpointError("a weight is infinite, or too large for f16: try --type bf16 or f32")
    return written.contiguous().numpy()


def _own_type(folder: Path) -> torch.dtype:
    """The number type that the folder says its weights have, so that a large one is not blown up."""
    raw = load_json(folder / "config.json")
    named = {"float16": torch.float16, "bfloat16": torch.bfloat16}
    return named.get(str(raw.get("dtype") or raw.get("torch_dtype")), torch.float32)


@contextmanager
def _finished_file(out: Path) -> Iterator[Path]:
    """A file beside `out` that takes its place at the end, or goes away."""
    unfinished = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        yield unfinished
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
