"""Lets a model in training answer questions, to see how far it is and to collect its wrong answers.

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
from waggle.training.questions import Question, is_right
from waggle.training.vocabulary import special_ids


def answers(
    model: Decoder, tokenizer: Tokenizer, asked: Sequence[str], *, temperature: float = 0.0, seed: int = 0
) -> list[str]:
    """What the model writes behind the answer marker for each question; "" where it writes no marker."""
    written = _complete(model, tokenizer, asked, temperature, torch.Generator().manual_seed(seed))
    return [text.rpartition(ANSWER_MARKER)[2].strip() if ANSWER_MARKER in text else "" for text in written]


def share_right(model: Decoder, tokenizer: Tokenizer, asked: Sequence[Question]) -> float:
    """Share of questions answered right, greedily."""
    given = answers(model, tokenizer, [question.text for question in asked])
    return sum(is_right(question, answer) for question, answer in zip(asked, given, strict=True)) / len(asked)


LONGEST = 130  # tokens; the longest worked answer of any family takes about 125


@torch.inference_mode()
def _complete(
    model: Decoder, tokenizer: Tokenizer, asked: Sequence[str], temperature: float, generator: torch.Generator
) -> list[str]:
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
        drawn = _draw(scores, temperature, generator)
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


def _draw(scores: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    if temperature == 0:
        return scores.argmax(dim=-1)
    probabilities = (scores.float() / temperature).softmax(dim=-1).cpu()
    return torch.multinomial(probabilities, 1, generator=generator)[:, 0]
