"""Training learns, resumes exactly, and draws its lessons as the recipe says."""

import random
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from waggle.models.prompts import ANSWER_MARKER, END, QUESTION, VERDICT_MARKER, WORK
from waggle.training.examples import Mix, Pool, batches
from waggle.training.plan import RECIPES
from waggle.training.trainer import LESSONS, Trainer, rate_factor
from waggle.training.vocabulary import build_tokenizer

pytestmark = pytest.mark.timeout(240)  # real models: seconds on an idle machine, more on a busy one

TINY = replace(RECIPES["clover"], hidden=32, layers=1, heads=1, head_dim=32, steps=4)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return build_tokenizer()


@pytest.fixture(scope="module")
def pool(tokenizer: Tokenizer) -> Pool:
    return Pool(tokenizer, size=60, seed=3)


def _trainer(pool: Pool, tokenizer: Tokenizer, folder: Path) -> Trainer:
    return Trainer(TINY, pool, folder, vocabulary=tokenizer.get_vocab_size())


def test_an_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(
    pool: Pool, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waggle.training.trainer.SAVE_EVERY", 2)
    whole = _trainer(pool, tokenizer, tmp_path / "whole")
    whole.advance(steps=4)

    def stop_after_two(step: int, steps: int, loss: float) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _trainer(pool, tokenizer, tmp_path / "cut").advance(steps=4, report=stop_after_two)
    resumed = _trainer(pool, tokenizer, tmp_path / "cut")
    assert resumed.progress.step == 2
    resumed.advance(steps=4)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_the_loss_falls(pool: Pool, tokenizer: Tokenizer, tmp_path: Path) -> None:
    losses: list[float] = []
    recipe = replace(TINY, steps=30)
    trainer = Trainer(recipe, pool, tmp_path, vocabulary=tokenizer.get_vocab_size())
    trainer.advance(steps=30, report=lambda step, steps, loss: losses.append(loss))
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])


def test_own_families_are_worked_and_judged_and_the_others_only_guessed(pool: Pool, tokenizer: Tokenizer) -> None:
    rng = random.Random(1)
    worked = pool.draw(TINY.families, Mix(work=1, judge=0, guess=0), rng)
    judged = pool.draw(TINY.families, Mix(work=0, judge=1, guess=0), rng)
    guessed = pool.draw(TINY.families, Mix(work=0, judge=0, guess=1), rng)
    texts = [tokenizer.decode(e.tokens[e.prompt :], skip_special_tokens=False) for e in (worked, judged, guessed)]
    assert all(text.endswith(END) for text in texts)
    assert ANSWER_MARKER in texts[0]
    assert not texts[0].startswith(ANSWER_MARKER)
    assert VERDICT_MARKER in texts[1]
    assert texts[2].startswith(ANSWER_MARKER)


def test_the_loss_counts_completions_and_never_padding(pool: Pool, tokenizer: Tokenizer) -> None:
    rng = random.Random(2)
    stream = batches(iter(lambda: pool.draw(TINY.families, LESSONS, rng), None), tokens=1024)
    padding = tokenizer.token_to_id("<|pad|>")
    for ids, counts in islice(stream, 5):
        assert ids.shape == counts.shape
        assert ids.shape[0] % 8 == 0
        assert (ids.shape[1] - 1) % 16 == 0
        assert not (counts & (ids == padding)).any()
        full = ids[ids[:, 0] != padding]
        assert (full[:, 0] == tokenizer.token_to_id(QUESTION)).all()
        assert (ids[~counts] != tokenizer.token_to_id(END)).all()
        assert ((full == tokenizer.token_to_id(WORK)).sum(axis=1) == 1).all()


def test_the_learning_rate_warms_up_holds_and_falls_to_zero() -> None:
    factors = [rate_factor(step, 1000) for step in range(1000)]
    assert factors[0] < 0.1
    assert factors[500] == 1.0
    assert factors[799] == pytest.approx(0.5)
    assert factors[-1] == 0.0
