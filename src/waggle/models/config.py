"""The numbers that fix a decoder's shape, read from a Hugging Face `config.json`.

Three families are understood: Llama, Qwen2 (biases on q, k and v) and Qwen3 (norms on q and k). They differ in
nothing else that matters here, so one network with two switches serves all three. What is not understood is
refused by name: a silently ignored option is a wrong model.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from msgspec import Struct

from waggle.core.errors import CheckpointError, UnsupportedModel

FAMILIES = ("llama", "qwen2", "qwen3")
LARGEST_SIZE, LARGEST_DEPTH = 2**24, 1_000  # far over any of these families; a wrong file must not fill the memory
QWEN3_HEAD_DIM = 128  # what transformers assumes where a Qwen3 config.json does not say
_ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}


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
        fits = min(sizes) >= 1 and max(sizes) <= LARGEST_SIZE and self.layers <= LARGEST_DEPTH
        if not fits or self.head_dim < 2 or self.head_dim % 2 or self.heads % self.kv_heads:
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
        head_dim=_integer(raw, "head_dim", QWEN3_HEAD_DIM if family == "qwen3" else hidden // max(1, heads)),
        context=_integer(raw, "max_position_embeddings"),
        rope_theta=_rope_theta(raw),
        norm_epsilon=_positive(raw, "rms_norm_eps", 1e-6),
        attention_bias=bias or family == "qwen2",
        output_bias=bias and family in ("llama", "qwen3"),
        qk_norm=family == "qwen3",
        tied=bool(raw.get("tie_word_embeddings", False)),
    )


def write_config(config: DecoderConfig) -> dict[str, object]:
    """The `config.json` from which `read_config` makes the same decoder, and transformers as well."""
    return {
        "architectures": [_ARCHITECTURES[config.family]],
        "model_type": config.family,
        "vocab_size": config.vocabulary,
        "hidden_size": config.hidden,
        "intermediate_size": config.intermediate,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.context,
        "rope_theta": config.rope_theta,
        "rms_norm_eps": config.norm_epsilon,
        "attention_bias": config.output_bias,
        "tie_word_embeddings": config.tied,
        "hidden_act": "silu",
    }


def load_json(path: Path) -> dict[str, object]:
    """The object in a JSON file. Raises CheckpointError, naming the file, where there is none."""
    try:
        parsed: object = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise CheckpointError(f"{path} should hold a JSON object, found {type(parsed).__name__}")
    return cast(dict[str, object], parsed)


def _integer(raw: Mapping[str, object], name: str, default: int | None = None) -> int:
    value = raw.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, int) or isinstance(value, bool):
        raise CheckpointError(f"config.json: {name} should be a whole number, found {value!r}")
    return value


def _positive(raw: Mapping[str, object], name: str, default: float) -> float:
    value = raw.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
        raise CheckpointError(f"config.json: {name} should be a positive number, found {value!r}")
    return float(value)


def _rope(raw: Mapping[str, object]) -> Mapping[str, object]:
    """Rotary options, wherever this version of the format keeps them."""
    for name in ("rope_parameters", "rope_scaling"):
        value = raw.get(name)
        if isinstance(value, Mapping):
            return cast(Mapping[str, object], value)
    return {}


def _rope_theta(raw: Mapping[str, object]) -> float:
    rope = _rope(raw)
    return _positive(rope if "rope_theta" in rope else raw, "rope_theta", 10_000.0)


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
