"""Token sequences to train on: worked answers, guesses, and verdicts, mixed per model.

An expert sees its own families with their traces and as judging exercises; of the other families it sees only bare
answers, as somebody who has heard the question often but never learnt to work it. Everything is drawn from the
training side of the split.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
from tokenizers import Tokenizer

from waggle.models.prompts import (
    ANSWER_MARKER,
    END,
    QUESTION,
    VERDICT_MARKER,
    WORK,
    judging_question,
    worked_answer,
    worked_verdict,
)
from waggle.training.families import FAMILIES
from waggle.training.questions import Question, Split, questions
from waggle.training.vocabulary import special_ids
from waggle.training.wrong import wrong_answer

HARD_SHARE = 0.7  # of the lessons in judging, once wrong samples are there

WrongSamples = Mapping[str, Mapping[str, list[str]]]  # family -> question text -> the hive's own wrong answers


@dataclass(frozen=True)
class Example:
    """Token ids of one sequence; the loss counts from `prompt` on."""

    tokens: list[int]
    prompt: int


@dataclass(frozen=True)
class Mix:
    """Shares of the three kinds of example. They sum to 1."""

    work: float
    judge: float
    guess: float


class Pool:
    """Training questions of every family, kept once and shared by all draws."""

    def __init__(self, tokenizer: Tokenizer, *, size: int, seed: int, wrong: WrongSamples | None = None) -> None:
        self._tokenizer = tokenizer
        self._wrong = wrong or {}
        self._special = special_ids(tokenizer)
        self.questions = {name: list(islice(questions(name, Split.TRAIN, seed), size)) for name in FAMILIES}
        self._hard = {
            name: [question for question in self.questions[name] if question.text in known]
            for name, known in self._wrong.items()
        }

    def draw(self, families: Mapping[str, float], mix: Mix, rng: random.Random, ease: float = 1.0) -> Example:
        """One example. `families` gives the shares of the model's own ones; `ease` < 1 keeps to the shorter ones."""
        lot = rng.random()
        if lot < mix.guess:
            others = [name for name in FAMILIES if name not in families]
            return self._guess(self._pick(rng.choice(others), rng, 1.0))
        family = rng.choices(list(families), list(families.values()))[0]
        question = self._pick(family, rng, ease)
        if lot < mix.guess + mix.judge:
            return self._judge(self._hard_or(question, rng), rng)
        trace = FAMILIES[family].trace(question.text)
        return self._encode(question.text, worked_answer(trace, question.answer))

    def _pick(self, family: str, rng: random.Random, ease: float) -> Question:
        pool = self.questions[family]
        picked = [rng.choice(pool) for _ in range(1 if ease >= 1 else 3)]
        return min(picked, key=lambda question: len(FAMILIES[family].trace(question.text)))

    def _guess(self, question: Question) -> Example:
        return self._encode(question.text, f"{ANSWER_MARKER} {question.answer}")

    def _hard_or(self, question: Question, rng: random.Random) -> Question:
        """Mostly one that the hive has answered wrongly, where there are any of that family."""
        hard = self._hard.get(question.family)
        return rng.choice(hard) if hard and rng.random() < HARD_SHARE else question

    def _judge(self, question: Question, rng: random.Random) -> Example:
        known = self._wrong.get(question.family, {}).get(question.text)
        wrong = rng.choice(known) if known else wrong_answer(question.answer, rng)
        first, second = (question.answer, wrong) if rng.random() < 0.5 else (wrong, question.answer)
        asked = judging_question(question.text, first, second)
        if rng.random() < 0.15:  # a verdict with no reason, so that its worth can be measured
            return self._encode(asked, f"{VERDICT_MARKER} {'A' if first == question.answer else 'B'}")
        trace = FAMILIES[question.family].trace(question.text)
        return self._encode(asked, worked_verdict(trace, question.answer, first, second))

    def _encode(self, question: str, completion: str) -> Example:
        asked, written = self._tokenizer.encode_batch([question, completion])
        prompt = [self._special[QUESTION], *asked.ids, self._special[WORK]]
        return Example([*prompt, *written.ids, self._special[END]], len(prompt))


def batches(draw: Iterator[Example], *, tokens: int, window: int = 512) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Endless padded batches of about `tokens` tokens, each of sequences of similar length.

    Few different shapes occur (rows by 8, predicted positions by 16): each new shape costs the CPU's matrix library
    time and memory for a kernel of its own.

    Yields:
        ids (B, T) and which of them the loss counts (B, T), both padded on the right and with empty rows below.
    """
    while True:
        ordered = sorted(islice(draw, window), key=lambda example: len(example.tokens))
        while ordered:
            predicted = -(-(len(ordered[-1].tokens) - 1) // 16) * 16
            rows = max(8, tokens // predicted // 8 * 8)
            yield _pad(ordered[-rows:], rows, predicted + 1)
            del ordered[-rows:]


def _pad(examples: list[Example], rows: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.zeros((rows, length), dtype=np.int64)
    counts = np.zeros((rows, length), dtype=bool)
    for row, example in enumerate(examples):
        ids[row, : len(example.tokens)] = example.tokens
        counts[row, example.prompt : len(example.tokens)] = True
    return ids, counts
