"""A model folder is loaded whole and exactly, or refused with the file and the fault by name."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from tests.unit.models.tiny import tiny_decoder, tiny_folder, vocabulary
from waggle.core.errors import CheckpointError, UnsupportedModel
from waggle.models.checkpoint import INDEX, WEIGHTS, load_decoder
from waggle.models.config import load_json, read_config, write_config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_folder(tmp_path / "model")


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    raw = load_json(path) | changes
    path.write_text(json.dumps({name: value for name, value in raw.items() if value is not ...}))


def edit_tensors(folder: Path, edit: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(folder / WEIGHTS)
    edit(tensors)
    save_file(tensors, folder / WEIGHTS)


def split(folder: Path) -> dict[str, str]:
    """Spread the weights over two files; returns the index's map."""
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    names = sorted(tensors)
    weight_map = {name: f"part-{index % 2}.safetensors" for index, name in enumerate(names)}
    for part in set(weight_map.values()):
        save_file({name: tensors[name] for name in names if weight_map[name] == part}, folder / part)
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    return weight_map


def test_saved_weights_are_loaded_to_half_precision_exactly(folder: Path) -> None:
    saved, loaded = tiny_decoder(), load_decoder(folder)
    assert loaded.config == saved.config
    for name, parameter in saved.named_parameters():
        assert torch.equal(parameter.half().float(), loaded.get_parameter(name)), name


def test_tied_heads_stay_one_tensor(folder: Path) -> None:
    decoder = load_decoder(folder)
    assert decoder.lm_head.weight is decoder.model.embed_tokens.weight


def test_a_tied_checkpoint_may_hold_its_head_as_well(folder: Path) -> None:
    edit_tensors(folder, lambda tensors: tensors.update({"lm_head.weight": torch.ones(3)}))
    assert load_decoder(folder).config.tied


def test_sharded_weights_are_the_same(folder: Path) -> None:
    whole = load_decoder(folder).state_dict()
    split(folder)
    shards = load_decoder(folder).state_dict()
    assert all(torch.equal(tensor, shards[name]) for name, tensor in whole.items())


def test_other_types_are_converted(folder: Path) -> None:
    assert load_decoder(folder, dtype=torch.bfloat16).lm_head.weight.dtype is torch.bfloat16
    assert load_decoder(folder).lm_head.weight.dtype is torch.float32


def test_transformers_reads_the_same_folder(folder: Path) -> None:
    ours = load_decoder(folder)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "What is 17 + 25?"}], return_tensors="pt")
    tokens = prompt["input_ids"]
    with torch.inference_mode():
        torch.testing.assert_close(ours.logits(ours(tokens)), theirs(tokens).logits, atol=1e-4, rtol=0)
    assert tokenizer.eos_token_id == theirs.generation_config.eos_token_id == 3


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_a_configuration_survives_writing(family: str) -> None:
    raw = write_config(tiny_decoder().config) | {"model_type": family, "attention_bias": family != "qwen2"}
    config = read_config(raw)
    assert read_config(write_config(config)) == config


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"model_type": "gpt2"}, "model_type 'gpt2' is not supported"),
        ({"model_type": ...}, "model_type 'None'"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "rope type 'yarn'"),
        ({"use_sliding_window": True}, "sliding-window"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "sliding-window"),
        ({"mlp_bias": True}, "mlp_bias"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
    ],
)
def test_what_is_not_implemented_is_refused_by_name(folder: Path, changes: dict[str, object], fault: str) -> None:
    edit_config(folder, **changes)
    with pytest.raises(UnsupportedModel, match=fault):
        load_decoder(folder)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"hidden_size": "64"}, "hidden_size should be a whole number, found '64'"),
        ({"num_hidden_layers": ...}, "num_hidden_layers should be a whole number, found None"),
        ({"num_hidden_layers": 10**9}, "impossible decoder"),
        ({"num_attention_heads": 0}, "impossible decoder"),
        ({"num_key_value_heads": 3}, "impossible decoder"),
        ({"head_dim": 31}, "impossible decoder"),
        ({"rms_norm_eps": -1}, "rms_norm_eps should be a positive number"),
        ({"rope_theta": "10000"}, "rope_theta should be a positive number"),
        ({"hidden_size": 72}, "has shape"),
        ({"num_hidden_layers": 3}, "tensors are missing, the first is model.layers.2"),
        ({"num_hidden_layers": 1}, "unexpected tensor model.layers.1"),
        ({"tie_word_embeddings": False}, "missing, the first is lm_head.weight"),
    ],
)
def test_a_wrong_configuration_is_an_error_that_names_the_fault(
    folder: Path, changes: dict[str, object], fault: str
) -> None:
    edit_config(folder, **changes)
    with pytest.raises(CheckpointError, match=fault) as caught:
        load_decoder(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff\xfe", b"[" * 100_000])
@pytest.mark.parametrize("file", ["config.json", INDEX])
def test_damaged_json_is_an_error_that_names_the_file(folder: Path, file: str, content: bytes) -> None:
    (folder / file).write_bytes(content)
    with pytest.raises(CheckpointError, match=file):
        load_decoder(folder)


@pytest.mark.parametrize("file", ["config.json", WEIGHTS])
def test_a_missing_file_is_named(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(CheckpointError, match=f"{file} is missing"):
        load_decoder(folder)


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\xff" * 100])
def test_damaged_weights_are_an_error(folder: Path, content: bytes) -> None:
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{WEIGHTS} is damaged"):
        load_decoder(folder)


def test_truncated_weights_are_an_error(folder: Path) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[:-100])
    with pytest.raises(CheckpointError, match=f"{WEIGHTS} is damaged"):
        load_decoder(folder)


@pytest.mark.parametrize("name", ["../other.safetensors", "/etc/passwd", "sub/x.safetensors", "weights.bin", "..", 7])
def test_an_index_cannot_point_out_of_the_folder(folder: Path, name: object) -> None:
    split(folder)
    (folder / INDEX).write_text(json.dumps({"weight_map": {"model.norm.weight": name}}))
    with pytest.raises(CheckpointError, match="not to a file beside it"):
        load_decoder(folder)


def test_a_missing_shard_is_named(folder: Path) -> None:
    split(folder)
    (folder / "part-1.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"part-1\.safetensors is missing"):
        load_decoder(folder)


def test_a_shard_without_what_the_index_promises_is_an_error(folder: Path) -> None:
    weight_map = split(folder)
    weight_map["model.norm.weight"] = f"part-{1 - int(weight_map['model.norm.weight'][5])}.safetensors"
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(CheckpointError, match=r"model\.norm\.weight is missing, though"):
        load_decoder(folder)


def test_whole_numbers_are_no_weights(folder: Path) -> None:
    edit_tensors(folder, lambda tensors: tensors.update({"model.norm.weight": torch.ones(64, dtype=torch.int64)}))
    with pytest.raises(CheckpointError, match=r"model\.norm\.weight holds torch\.int64"):
        load_decoder(folder)


def test_nothing_is_unpickled(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    torch.save({"model.norm.weight": torch.ones(64)}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=f"{WEIGHTS} is missing"):
        load_decoder(folder)


def test_the_vocabulary_of_the_tests_is_the_hives() -> None:
    assert Tokenizer.from_str(vocabulary()).token_to_id("<|end|>") == 3
