"""Reads and writes decoders as Hugging Face folders: `config.json` and `*.safetensors`, nothing that could run code.

Weights stay memory-mapped where their type is the one asked for; else each tensor is converted as it is read. A folder
is either loaded whole and exactly or refused with a sentence that names the file and the fault.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from waggle.core.errors import CheckpointError
from waggle.models.config import load_json, read_config, write_config
from waggle.models.decoder import Decoder
from waggle.models.prompts import END, PADDING
from waggle.models.tokenizer import save_tokenizer

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
HEAD = "lm_head.weight"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npz")
"""Weights in files whose loaders may run what is in them; they are never opened."""


def load_decoder(folder: Path, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Decoder:
    """Load the Llama, Qwen2 or Qwen3 checkpoint in `folder`, ready for inference.

    Raises:
        UnsupportedModel: another architecture, or an option that is not implemented.
        CheckpointError: a file or tensor is missing, damaged, unexpected or of the wrong shape.
    """
    with _faults_of(folder / CONFIG):
        config = read_config(load_json(folder / CONFIG))
    with torch.device("meta"):
        decoder = Decoder(config)
    shapes = {name: tuple(parameter.shape) for name, parameter in decoder.named_parameters()}
    tensors = {
        name: tensor.to(device=device, dtype=dtype)
        for path, names in _files(folder)
        for name, tensor in _read(path, names, shapes, tied=config.tied)
    }
    missing = sorted(shapes.keys() - tensors.keys())
    if missing:
        raise CheckpointError(f"{folder}: {len(missing)} tensors are missing, the first is {missing[0]}")
    decoder.load_state_dict(tensors, strict=False, assign=True)
    if config.tied:
        decoder.lm_head.weight = decoder.model.embed_tokens.weight
    return decoder.requires_grad_(False).eval()


def save_checkpoint(
    folder: Path, decoder: Decoder, tokenizer: Tokenizer, *, dtype: torch.dtype = torch.float16
) -> None:
    """Write a folder that both `load_decoder` and transformers read: weights, config, tokenizer, chat template."""
    folder.mkdir(parents=True, exist_ok=True)
    ends = {"eos_token_id": tokenizer.token_to_id(END), "pad_token_id": tokenizer.token_to_id(PADDING)}
    raw = write_config(decoder.config) | {"dtype": str(dtype).removeprefix("torch.")} | ends
    (folder / CONFIG).write_text(json.dumps(raw, indent=2) + "\n")
    (folder / "generation_config.json").write_text(json.dumps(ends, indent=2) + "\n")
    tensors = {name: parameter.detach().to("cpu", dtype).contiguous() for name, parameter in decoder.named_parameters()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / WEIGHTS).chmod(0o644)  # safetensors writes for the owner only
    save_tokenizer(folder, tokenizer)


@contextmanager
def _faults_of(path: Path) -> Iterator[None]:
    """Name the folder in what is wrong with its config.json."""
    try:
        yield
    except CheckpointError as error:
        raise type(error)(str(error) if str(path) in str(error) else f"{path.parent}: {error}") from error


def _files(folder: Path) -> list[tuple[Path, set[str] | None]]:
    """The weight files and the tensors each should hold; None where the file itself says."""
    if not (folder / INDEX).exists():
        return [(folder / WEIGHTS, None)]
    weight_map = load_json(folder / INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{folder / INDEX}: weight_map should name a file for every tensor")
    shards: dict[str, set[str]] = {}
    for tensor, name in weight_map.items():
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise CheckpointError(f"{folder / INDEX}: {tensor} points to {name!r}, not to a file beside it")
        shards.setdefault(name, set()).add(tensor)
    return [(folder / name, tensors) for name, tensors in sorted(shards.items())]


def _read(
    path: Path, names: set[str] | None, shapes: Mapping[str, tuple[int, ...]], *, tied: bool
) -> Iterator[tuple[str, Tensor]]:
    """The parameters in one file; `shapes` says which there may be and of what shape."""
    if not path.exists():
        raise CheckpointError(f"{path} is missing{_instead(path.parent)}")
    try:
        with safe_open(path, framework="pt") as file:
            held = set(file.keys())
            if names is not None and names - held:
                raise CheckpointError(f"{path}: {sorted(names - held)[0]} is missing, though {INDEX} says it is here")
            for name in sorted(held):
                if not _is_known_extra(name, tied=tied):
                    yield name, _checked(path, name, file.get_tensor(name), shapes)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def _instead(folder: Path) -> str:
    """What to do where the weights are there in a format that is not read; empty where they are not."""
    found = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in PICKLES)
    return f"; {found[0]} can hold code and is never loaded: convert it to .safetensors" if found else ""


def _is_known_extra(name: str, *, tied: bool) -> bool:
    """Tensors that some checkpoints hold although they follow from the rest."""
    return name.endswith(".rotary_emb.inv_freq") or (tied and name == HEAD)


def _checked(path: Path, name: str, tensor: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> Tensor:
    if name not in shapes:
        raise CheckpointError(f"{path}: unexpected tensor {name}; this architecture has no such weight")
    if tuple(tensor.shape) != shapes[name]:
        raise CheckpointError(f"{path}: {name} has shape {tuple(tensor.shape)}, config.json asks for {shapes[name]}")
    if not tensor.is_floating_point():
        raise CheckpointError(f"{path}: {name} holds {tensor.dtype}, not floating-point numbers")
    return tensor
