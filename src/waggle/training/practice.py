"""Lets a model in training answer questions, to collect its wrong answers.

A plain batched loop over the decoder: the engine proper, with its batching and streams, is not needed here.
"""

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor

from waggle.models.cache import CacheView, SlotCache
from waggle.models.decoder import Decoder
from waggle.models.prompts import ANSWER_MARKER, END, QUESTION, WORK
from waggle.training.plan import CONTEXT
from waggle.training.vocabulary import special_ids

LONGEST = 130  # tokens; the longest worked answer of any family takes about 125
TEMPERATURE = 0.8


def answers(model: Decoder, tokenizer: Tokenizer, asked: Sequence[str], *, seed: int) -> list[str]:
    """What the model writes behind the answer marker for each question; "" where it writes no marker."""
    written = _complete(model, tokenizer, asked, torch.Generator().manual_seed(seed))
    return [text.rpartition(ANSWER_MARKER)[2].strip() if ANSWER_MARKER in text else "" for text in written]


@torch.inference_mode()
def _complete(model: Decoder, tokenizer: Tokenizer, asked: Sequence[str], generator: torch.Generator) -> list[str]:
    device = model.lm_head.weight.device
    special = special_ids(tokenizer)
    prompts = [[special[QUESTION], *encoding.ids, special[WORK]] for encoding in tokenizer.encode_batch(list(asked))]
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    rows = torch.arange(len(prompts), device=device)
    cache = SlotCache(model.config, slots=len(prompts), context=CONTEXT, device=device)
    hidden = model(_padded(prompts).to(device), CacheView(cache, rows, torch.zeros_like(rows)))
    scores = model.logits(hidden[rows, lengths - 1])
    written: list[list[int]] = [[] for _ in prompts]
    done = [False] * len(prompts)
    for _ in range(min(LONGEST, CONTEXT - int(lengths.max()))):
        drawn = _draw(scores, generator)
        for row, token in enumerate(drawn.tolist()):
            done[row] = done[row] or token == special[END]
            if not done[row]:
                written[row].append(token)
        if all(done):
            break
        scores = model.logits(model(drawn[:, None].to(device), CacheView(cache, rows, lengths))[:, 0])
        lengths = lengths + 1
    return tokenizer.decode_batch(written)


def _padded(prompts: list[list[int]]) -> Tensor:
    longest = max(map(len, prompts))
    return torch.tensor([[*prompt, *[0] * (longest - len(prompt))] for prompt in prompts])


def _draw(scores: Tensor, generator: torch.Generator) -> Tensor:
    probabilities = (scores.float() / TEMPERATURE).softmax(dim=-1).cpu()
    return torch.multinomial(probabilities, 1, generator=generator)[:, 0]
