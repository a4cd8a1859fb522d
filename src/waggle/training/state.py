"""A training run on disk, so that it can be stopped at any moment and go on where it was.

Tensors (weights, optimizer moments) go to safetensors and numbers to JSON; nothing is pickled. The random draws need
no saving: every batch is made from the recipe's seed and the step's number.
"""

import os
from pathlib import Path

import msgspec
import torch
from msgspec import Struct, field
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


class Progress(Struct):
    """How far a run has come. `curve` holds (step, loss) pairs."""

    step: int = 0
    seconds: float = 0.0
    curve: list[tuple[int, float]] = field(default_factory=list)


def save_state(folder: Path, model: nn.Module, optimizers: list[torch.optim.Optimizer], progress: Progress) -> None:
    """Write everything, each file first beside its place and then moved, so that a crash leaves the old one."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{name}": value for name, value in model.state_dict().items() if name != "lm_head.weight"}
    for index, optimizer in enumerate(optimizers):
        tensors |= {f"optimizer{index}.{name}": value for name, value in _moments(optimizer).items()}
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / "state.new")
    (folder / "progress.new").write_bytes(msgspec.json.encode(progress))
    os.replace(folder / "state.new", folder / "state.safetensors")
    os.replace(folder / "progress.new", folder / "progress.json")


def load_state(folder: Path, model: nn.Module, optimizers: list[torch.optim.Optimizer]) -> Progress:
    """Restore a run in place; a folder without one is a run at step 0."""
    progress = read_progress(folder)
    if progress.step == 0:
        return progress
    tensors = load_file(folder / "state.safetensors")
    weights = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    model.load_state_dict(weights | {"lm_head.weight": weights["model.embed_tokens.weight"]})
    for index, optimizer in enumerate(optimizers):
        prefix = f"optimizer{index}."
        _restore(optimizer, {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)})
    return progress


def read_progress(folder: Path) -> Progress:
    """How far the run in `folder` has come, without its weights; step 0 where there is none."""
    if not (folder / "progress.json").exists():
        return Progress()
    return msgspec.json.decode((folder / "progress.json").read_bytes(), type=Progress)


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's running averages, named `parameter.moment`."""
    return {
        f"{index}.{name}": value
        for index, parameter in enumerate(_parameters(optimizer))
        for name, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def _restore(optimizer: torch.optim.Optimizer, moments: dict[str, Tensor]) -> None:
    parameters = _parameters(optimizer)
    for key, value in moments.items():
        index, name = key.split(".", 1)
        parameter = parameters[int(index)]
        optimizer.state[parameter][name] = value.to(parameter.device) if value.ndim else value
