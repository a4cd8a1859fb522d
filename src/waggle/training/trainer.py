"""Trains one model of the hive from a recipe: lessons in, weights out.

The same recipe and seed give the same weights on the same machine. In bfloat16 where the processor or the GPU has it:
on a CPU with AVX-512 that more than doubles the speed.

Muon steps the hidden matrices, AdamW everything else. Muon orthogonalises each update of a weight matrix (Jordan et al.
2024); on these models it needs about a third of AdamW's steps. The learning rate is flat with a short warm-up and a
long linear decay (warm-up, stable, decay).
"""

import random
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from waggle.models.decoder import Decoder
from waggle.training.examples import Example, Mix, Pool, batches
from waggle.training.plan import Recipe
from waggle.training.state import load_state, save_state

TOKENS = 4096  # per step
LESSONS = Mix(work=0.80, judge=0.17, guess=0.03)  # more guesses, and a model learns to be right without working
EASY_PART, EASE = 0.15, 0.5  # the first steps keep to the shorter questions
SAVE_EVERY = 200  # steps
MUON_RATE, ADAM_RATE = 0.008, 0.002
WARM_UP, DECAY = 0.02, 0.4  # shares of all steps

Report = Callable[[int, int, float], None]  # step, steps, loss


class Trainer:
    """One run. `advance` trains to the end and may be called again after an interruption."""

    def __init__(self, recipe: Recipe, pool: Pool, folder: Path, *, vocabulary: int, device: str = "cpu") -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.pool, self.folder, self.device = recipe, pool, folder, device
        self.model = initialise(Decoder(recipe.config(vocabulary))).to(device)
        self.optimizers = make_optimizers(self.model)
        self.progress = load_state(folder, self.model, self.optimizers)

    def advance(
        self, *, steps: int, since: int = 0, mix: Mix = LESSONS, rate: float = 1.0, report: Report | None = None
    ) -> None:
        """Train until `steps` steps are done in all; the learning rate falls to 0 at the end of this stage.

        Args:
            since: the step this stage began at. A resumed stage draws its lessons from there again and skips those
                it had, so that the weights come out as if it had never stopped.
            steps, mix, rate, report: where to stop, what to learn, share of the full learning rate, whom to tell.
        """
        first = self.progress.step
        started = time.monotonic() - self.progress.seconds
        stream = islice(self._batches(since, steps, mix), first - since, None)
        for step in range(first, steps):
            set_rates(self.optimizers, rate * rate_factor(step, steps))
            loss = self._step(*next(stream))
            self.progress.step, self.progress.seconds = step + 1, time.monotonic() - started
            if report is not None:
                report(step + 1, steps, loss)
            if (step + 1) % SAVE_EVERY == 0 or step + 1 == steps:
                self.progress.curve.append((step + 1, round(loss, 4)))
                save_state(self.folder, self.model, self.optimizers, self.progress)

    def _batches(self, since: int, steps: int, mix: Mix) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rng = random.Random(f"{self.recipe.seed}/{since}/{steps}")
        done = since

        def examples() -> Iterator[Example]:
            while True:
                ease = EASE if done < EASY_PART * self.recipe.steps else 1.0
                yield self.pool.draw(self.recipe.families, mix, rng, ease)

        for batch in batches(examples(), tokens=TOKENS):
            yield batch
            done += 1

    def _step(self, ids: np.ndarray, counts: np.ndarray) -> float:
        tokens = torch.from_numpy(ids).to(self.device)
        counted = torch.from_numpy(counts).to(self.device)[:, 1:]
        loss = next_token_loss(self.model, tokens, counted)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return float(loss.item())


def next_token_loss(model: Decoder, tokens: Tensor, counted: Tensor) -> Tensor:
    """Mean cross-entropy of the next token where `counted`; tokens (B, T), counted (B, T - 1).

    The counted positions are rounded up to a multiple of 512 with ones that are ignored: see `batches` for the reason.
    """
    places = counted.flatten().nonzero()[:, 0]
    surplus = -len(places) % 512
    with torch.autocast(tokens.device.type, dtype=torch.bfloat16):
        hidden = model(tokens[:, :-1]).flatten(0, 1)
        logits = model.logits(hidden[functional.pad(places, (0, surplus))])
    targets = functional.pad(tokens[:, 1:].flatten()[places], (0, surplus), value=-100)
    return functional.cross_entropy(logits.float(), targets, ignore_index=-100)


def initialise(model: Decoder) -> Decoder:
    """Small normal weights: 0.02 for the embedding, half of 1/sqrt(inputs) for matrices."""
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.02 if "embed" in name else 0.5 * parameter.shape[1] ** -0.5)
        elif name.endswith("bias"):
            torch.nn.init.zeros_(parameter)
    return model


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
