"""An exported file holds the whole model in llama.cpp's own terms, or there is no file."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace
from tokenizers import Tokenizer
from torch import Tensor

from tests.unit.models.gguf_file import GgufFile, read_gguf
from tests.unit.models.tiny import QWEN3, saved, tiny_decoder, vocabulary
from waggle.core.errors import CheckpointError, UnsupportedModel, WaggleError
from waggle.models.checkpoint import load_decoder
from waggle.models.decoder import Decoder, rotary_table, rotate
from waggle.models.gguf import NumberType, check_shape, export_gguf, interleave_halves, tensor_name
from waggle.models.hive import CARD as CARD_FILE
from waggle.models.hive import ModelCard
from waggle.models.prompts import CHAT_TEMPLATE

CARD = ModelCard(name="tiny", licence="Apache-2.0")
CONFIGS = {
    "llama": replace(QWEN3, family="llama", qk_norm=False, attention_bias=True, output_bias=True),
    "qwen2": replace(QWEN3, family="qwen2", qk_norm=False, attention_bias=True, tied=False),
    "qwen3": QWEN3,
}
PARTS = ("q_proj", "k_proj")
Break = Callable[[Path], object]


def exported(folder: Path, out: Path, numbers: NumberType = "f32") -> GgufFile:
    pytest.importorskip("gguf", reason="the extra `export` is not installed")
    export_gguf(folder, out, numbers=numbers)
    return read_gguf(out)


def expected(decoder: Decoder) -> dict[str, Tensor]:
    """Every parameter under llama.cpp's name; the rows of a Llama's q and k by the rule written out."""
    config = decoder.config
    found: dict[str, Tensor] = {}
    for name, parameter in decoder.named_parameters():
        tensor = parameter.detach()
        if config.family == "llama" and any(part in name for part in PARTS):
            half = config.head_dim // 2
            order = [
                head * config.head_dim + pair + side * half
                for head in range(len(tensor) // config.head_dim)
                for pair in range(half)
                for side in (0, 1)
            ]
            tensor = tensor[order]
        found[tensor_name(name)] = tensor
    return found


@pytest.mark.parametrize("family", CONFIGS)
def test_every_tensor_comes_back_as_it_was(tmp_path: Path, family: str) -> None:
    folder = saved(tmp_path / "model", tiny_decoder(CONFIGS[family]), CARD)
    tensors, wanted = exported(folder, tmp_path / "out.gguf").tensors, expected(load_decoder(folder))
    assert tensors.keys() == wanted.keys()
    assert ("output.weight" in tensors) is (family == "qwen2")
    for name, tensor in tensors.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, wanted[name]), name


@pytest.mark.parametrize(("numbers", "dtype"), [("f16", torch.float16), ("bf16", torch.bfloat16)])
def test_matrices_are_written_in_the_type_asked_for_and_vectors_in_float32(
    tmp_path: Path, numbers: NumberType, dtype: torch.dtype
) -> None:
    folder = saved(tmp_path / "model", tiny_decoder(), CARD)
    tensors = exported(folder, tmp_path / "out.gguf", numbers).tensors
    for name, wanted in expected(load_decoder(folder)).items():
        assert tensors[name].dtype == (torch.float32 if wanted.dim() == 1 else dtype)
        assert torch.equal(tensors[name], wanted.to(tensors[name].dtype)), name


@pytest.mark.parametrize("family", CONFIGS)
def test_the_shape_is_told_under_the_familys_name(tmp_path: Path, family: str) -> None:
    config = CONFIGS[family]
    values = exported(saved(tmp_path / "model", tiny_decoder(config), CARD), tmp_path / "out.gguf").values
    assert values["general.architecture"] == family
    told = {name.removeprefix(f"{family}."): value for name, value in values.items() if name.startswith(family)}
    assert told.pop("attention.layer_norm_rms_epsilon") == pytest.approx(config.norm_epsilon)
    assert told == {
        "vocab_size": config.vocabulary,
        "context_length": 256,
        "embedding_length": 64,
        "block_count": 2,
        "feed_forward_length": 128,
        "attention.head_count": 2,
        "attention.head_count_kv": 1,
        "attention.key_length": 32,
        "attention.value_length": 32,
        "rope.dimension_count": 32,
        "rope.freq_base": 10_000.0,
        "pooling_type": 1,  # the mean
    }


def test_the_tokenizer_and_the_template_are_in_the_file(tmp_path: Path) -> None:
    values = exported(saved(tmp_path / "model", tiny_decoder(), CARD), tmp_path / "out.gguf").values
    told = {name.removeprefix("tokenizer."): value for name, value in values.items() if name.startswith("tokenizer.")}
    tokens = told.pop("ggml.tokens")
    assert isinstance(tokens, list)
    assert {text: number for number, text in enumerate(tokens)} == Tokenizer.from_str(vocabulary()).get_vocab()
    assert told == {
        "ggml.model": "gpt2",
        "ggml.pre": "llama-bpe",
        "ggml.token_type": [3] * 4 + [1] * (len(tokens) - 4),
        "ggml.merges": ["<none> <none>"],
        "ggml.eos_token_id": 3,
        "ggml.padding_token_id": 0,
        "ggml.add_bos_token": False,
        "ggml.add_eos_token": False,
        "chat_template": CHAT_TEMPLATE,
    }


def test_the_name_is_that_of_the_card_or_else_of_the_folder(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", tiny_decoder(), CARD)
    carded = exported(folder, tmp_path / "1.gguf").values
    (folder / CARD_FILE).unlink()
    bare = exported(folder, tmp_path / "2.gguf").values
    assert (carded["general.name"], carded["general.license"]) == ("tiny", "Apache-2.0")
    assert (bare["general.name"], bare.get("general.license")) == ("model", None)


def test_rows_in_the_other_order_turn_to_the_same_attention() -> None:
    """llama.cpp turns neighbours (0, 1), (2, 3)...; with the rows so ordered, every score must be the same."""
    generator = torch.Generator().manual_seed(5)
    heads, size, positions = 2, 8, 6
    x = torch.randn(positions, 16, generator=generator)
    q, k = (torch.randn(heads * size, 16, generator=generator) for _ in PARTS)
    table = rotary_table(torch.arange(positions), size, 100.0)

    def split(weight: Tensor) -> Tensor:
        return (x @ weight.T).unflatten(-1, (heads, size)).transpose(0, 1)[None]

    def turn_neighbours(y: Tensor) -> Tensor:
        cosine, sine = (part[:, : size // 2] for part in table)
        first, second = y[..., 0::2], y[..., 1::2]
        return torch.stack((first * cosine - second * sine, first * sine + second * cosine), dim=-1).flatten(-2)

    ours = rotate(split(q), table) @ rotate(split(k), table).transpose(-1, -2)
    turned = [turn_neighbours(split(interleave_halves(weight, heads))) for weight in (q, k)]
    assert torch.allclose(turned[0] @ turned[1].transpose(-1, -2), ours, atol=1e-5)


def test_the_shapes_that_llama_cpp_does_not_compute_are_refused() -> None:
    with pytest.raises(UnsupportedModel, match="Qwen2"):
        check_shape(replace(CONFIGS["qwen2"], hidden=96))
    with pytest.raises(UnsupportedModel, match="Qwen3"):
        check_shape(replace(CONFIGS["qwen3"], attention_bias=True, output_bias=True))
    for config in CONFIGS.values():
        check_shape(config)


@pytest.mark.parametrize(
    ("break_it", "complaint"),
    [
        (lambda folder: (folder / "model.safetensors").write_bytes(b"junk"), "damaged"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "not a tokenizer"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "is missing"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "mamba"}'), "'mamba' is not supported"),
    ],
)
def test_a_refused_export_leaves_the_old_file_and_no_other(tmp_path: Path, break_it: Break, complaint: str) -> None:
    pytest.importorskip("gguf", reason="the extra `export` is not installed")
    folder, out = saved(tmp_path / "model", tiny_decoder(), CARD), tmp_path / "out" / "old.gguf"
    out.parent.mkdir()
    out.write_bytes(b"old")
    break_it(folder)
    with pytest.raises(WaggleError, match=complaint):
        export_gguf(folder, out)
    assert [(path.name, path.read_bytes()) for path in out.parent.iterdir()] == [("old.gguf", b"old")]


def test_a_weight_too_large_for_half_precision_is_refused_without_a_file(tmp_path: Path) -> None:
    out, decoder = tmp_path / "out.gguf", tiny_decoder()
    with torch.no_grad():
        decoder.get_parameter("model.layers.0.mlp.up_proj.weight")[0, 0] = 1e5
    folder = saved(tmp_path / "model", decoder, CARD, dtype=torch.float32)
    with pytest.raises(CheckpointError, match="too large for f16"):
        exported(folder, out, "f16")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert exported(folder, out, "bf16").tensors["blk.0.ffn_up.weight"][0, 0] == 99840


def test_progress_is_told_up_to_the_last_tensor(tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="the extra `export` is not installed")
    told: list[tuple[int, int]] = []
    export_gguf(
        saved(tmp_path / "model", tiny_decoder(), CARD), tmp_path / "out.gguf", tell=lambda *step: told.append(step)
    )
    assert told == [(done, 24) for done in range(25)]
