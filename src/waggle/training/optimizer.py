"""Muon for the hidden matrices, AdamW for everything else, and one learning-rate schedule for both.

Muon orthogonalises each update of a weight matrix (Jordan et al. 2024); on these models it needs about a third of
AdamW's steps. The schedule is flat with a short warm-up and a long linear decay (warm-up, stable, decay).
"""

import torch
from torch import Tensor, nn

MUON_RATE, ADAM_RATE = 0.008, 0.002
WARM_UP, DECAY = 0.02, 0.4  # shares of all steps


def make_optimizers(model: nn.Module) -> list[torch.optim.Optimizer]:
    """One Muon over matrices inside the layers, one AdamW over embeddings, norms and biases."""
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in model.named_parameters():
        hidden = parameter.ndim == 2 and "embed_tokens" not in name and "lm_head" not in name
        (matrices if hidden else others).append(parameter)
    return [
        torch.optim.Muon(matrices, lr=MUON_RATE, momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(others, lr=ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate_factor(step: int, steps: int) -> float:
    """Share of the full learning rate at `step` of `steps`: 0 -> 1 in the warm-up, 1 -> 0 in the decay.

    Halfway through 1,000 steps: 1.0; at step 800: 0.5.
    """
    done = (step + 1) / steps
    return min(1.0, done / WARM_UP, max(0.0, (1 - done) / DECAY))


def set_rates(optimizers: list[torch.optim.Optimizer], factor: float) -> None:
    """Scale every group's learning rate from its initial value."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group.setdefault("full_rate", group["lr"])
            group["lr"] = group["full_rate"] * factor
