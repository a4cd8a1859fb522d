"""The numbers that fix a decoder's shape, read from a Hugging Face `config.json`.

Three families are understood: Llama, Qwen2 (biases on q, k and v) and Qwen3 (norms on q and k). They differ in
nothing else that matters here, so one network with two switches serves all three. What is not understood is
refused by name: a silently ignored option is a wrong model.
"""

from collections.abc import Mapping
from typing import cast

from msgspec import Struct

from waggle.core.errors import CheckpointError, UnsupportedModel

FAMILIES = ("llama", "qwen2", "qwen3")


class DecoderConfig(Struct, frozen=True, kw_only=True):
    """Shape of one decoder. Lengths in tokens, sizes in features."""

    family: str
    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    context: int
    rope_theta: float = 10_000.0
    norm_epsilon: float = 1e-6
    attention_bias: bool = False
    output_bias: bool = False
    qk_norm: bool = False
    tied: bool = True

    def __post_init__(self) -> None:
        sizes = (self.vocabulary, self.hidden, self.intermediate, self.layers, self.heads, self.kv_heads, self.context)
        if min(sizes) < 1 or self.head_dim < 2 or self.head_dim % 2 or self.heads % self.kv_heads:
            raise CheckpointError(f"config.json describes an impossible decoder: {self}")


def read_config(raw: Mapping[str, object]) -> DecoderConfig:
    """Translate the parsed `config.json` of a Llama, Qwen2 or Qwen3 checkpoint.

    Raises:
        UnsupportedModel: another architecture, or an option of these three that is not implemented.
        CheckpointError: a required number is missing or impossible.
    """
    family = str(raw.get("model_type"))
    if family not in FAMILIES:
        raise UnsupportedModel(f"model_type {family!r} is not supported; waggle reads {', '.join(FAMILIES)}")
    _refuse_unsupported(raw)
    heads = _integer(raw, "num_attention_heads")
    hidden = _integer(raw, "hidden_size")
    bias = bool(raw.get("attention_bias", False))
    return DecoderConfig(
        family=family,
        vocabulary=_integer(raw, "vocab_size"),
        hidden=hidden,
        intermediate=_integer(raw, "intermediate_size"),
        layers=_integer(raw, "num_hidden_layers"),
        heads=heads,
        kv_heads=_integer(raw, "num_key_value_heads", heads),
        head_dim=_integer(raw, "head_dim", hidden // heads),
        context=_integer(raw, "max_position_embeddings"),
        rope_theta=_rope_theta(raw),
        norm_epsilon=float(cast(float, raw.get("rms_norm_eps", 1e-6))),
        attention_bias=bias or family == "qwen2",
        output_bias=bias and family in ("llama", "qwen3"),
        qk_norm=family == "qwen3",
        tied=bool(raw.get("tie_word_embeddings", False)),
    )


def _integer(raw: Mapping[str, object], name: str, default: int | None = None) -> int:
    value = raw.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, int) or isinstance(value, bool):
        raise CheckpointError(f"config.json: {name} should be a whole number, found {value!r}")
    return value


def _rope(raw: Mapping[str, object]) -> Mapping[str, object]:
    """Rotary options, wherever this version of the format keeps them."""
    for name in ("rope_parameters", "rope_scaling"):
        value = raw.get(name)
        if isinstance(value, Mapping):
            return cast(Mapping[str, object], value)
    return {}


def _rope_theta(raw: Mapping[str, object]) -> float:
    return float(cast(float, _rope(raw).get("rope_theta", raw.get("rope_theta", 10_000.0))))


def _refuse_unsupported(raw: Mapping[str, object]) -> None:
    rope_type = _rope(raw).get("rope_type", _rope(raw).get("type", "default"))
    if rope_type != "default":
        raise UnsupportedModel(f"config.json: rope type {rope_type!r} is not supported, only 'default'")
    if raw.get("hidden_act", "silu") != "silu":
        raise UnsupportedModel(f"config.json: hidden_act {raw['hidden_act']!r} is not supported, only 'silu'")
    layer_types = raw.get("layer_types")
    sliding = isinstance(layer_types, list) and any(kind != "full_attention" for kind in layer_types)
    if raw.get("use_sliding_window") or sliding:
        raise UnsupportedModel("config.json: sliding-window attention is not supported")
    if raw.get("mlp_bias"):
        raise UnsupportedModel("config.json: mlp_bias is not supported")
    if raw.get("quantization_config"):
        raise UnsupportedModel("config.json: quantised checkpoints are not supported; use float32, bfloat16 or float16")
