"""Tokens are drawn with the right shares, by the right rules, and from the seed and the step alone."""

import random

import pytest
import torch
from torch import Tensor

from waggle.core.engine_values import Sampling
from waggle.models.sampling import Sampler, keep_likeliest, lot, pick

SHARES = torch.tensor([0.1, 0.5, 0.15, 0.25])
SCORES = SHARES.log()


def drawn(rule: Sampling, number: int, scores: Tensor = SCORES) -> list[int]:
    """`number` tokens in a row from the same scores."""
    sampler = Sampler([rule])
    return [int(sampler.draw(scores[None], [step])[0]) for step in range(number)]


def shares_of(tokens: list[int]) -> list[float]:
    return [tokens.count(token) / len(tokens) for token in range(len(SHARES))]


def test_temperature_nought_takes_the_best() -> None:
    assert set(drawn(Sampling(seed=3), 20)) == {1}


@pytest.mark.parametrize("seed", range(5))
def test_tokens_come_with_the_models_own_shares(seed: int) -> None:
    found = shares_of(drawn(Sampling(temperature=1.0, seed=seed), 4_000))
    assert found == pytest.approx(SHARES.tolist(), abs=0.03), f"seed {seed}"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Sampling(temperature=1.0, top_k=2, seed=1), [0, 2 / 3, 0, 1 / 3]),
        (Sampling(temperature=1.0, top_k=1, seed=1), [0, 1, 0, 0]),
        (Sampling(temperature=1.0, top_k=99, seed=1), [0.1, 0.5, 0.15, 0.25]),
        (Sampling(temperature=1.0, top_p=0.6, seed=1), [0, 2 / 3, 0, 1 / 3]),
        (Sampling(temperature=1.0, top_p=0.0, seed=1), [0, 1, 0, 0]),
        (Sampling(temperature=0.5, seed=1), [0.01 / 0.345, 0.25 / 0.345, 0.0225 / 0.345, 0.0625 / 0.345]),
    ],
)
def test_rules_shape_the_shares(rule: Sampling, expected: list[float]) -> None:
    assert shares_of(drawn(rule, 3_000)) == pytest.approx(expected, abs=0.03)


def test_logprobs_are_the_models_whatever_the_rule() -> None:
    rules = [Sampling(), Sampling(temperature=2.0, top_k=2, seed=5)]
    tokens, logprobs = Sampler(rules).draw(SCORES.repeat(2, 1) + 7.0, [0, 0])
    torch.testing.assert_close(logprobs, SCORES[tokens])


@pytest.mark.parametrize("seed", range(30))
def test_a_row_draws_the_same_in_any_company(seed: int) -> None:
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    rules = [
        Sampling(
            temperature=rng.choice([0.0, 0.7, 1.3]),
            top_k=rng.choice([0, 0, 5]),
            top_p=rng.choice([1.0, 0.9]),
            seed=rng.randrange(2**62),
        )
        for _ in range(9)
    ]
    scores, steps = torch.randn(9, 555, generator=generator) * 3, [rng.randrange(200) for _ in rules]
    alone = [Sampler([rule]).draw(scores[row : row + 1], [steps[row]])[0].item() for row, rule in enumerate(rules)]
    order = rng.sample(range(9), 9)
    together = Sampler([rules[row] for row in order]).draw(scores[order], [steps[row] for row in order])[0]
    assert [alone[row] for row in order] == together.tolist(), f"seed {seed}"


def test_rows_without_a_rule_are_padding() -> None:
    tokens, logprobs = Sampler([Sampling(temperature=1.0)]).draw(SCORES.repeat(4, 1), [0])
    assert tokens.tolist()[1:] == [1, 1, 1]
    assert logprobs.shape == (4,)


def test_lots_are_even_and_reproducible() -> None:
    lots = [lot(seed, step) for seed in range(50) for step in range(100)]
    assert min(lots) >= 0
    assert max(lots) < 1
    assert len(set(lots)) == 5_000
    assert sum(lots) / 5_000 == pytest.approx(0.5, abs=0.015)
    assert lot(1, 2) == pytest.approx(0.9486215079693555)


def test_an_impossible_token_is_never_picked() -> None:
    shares = torch.tensor([[0.0, 0.5, 0.0, 0.5, 0.0]], dtype=torch.float64)
    for value in (0.0, 0.25, 0.5, 0.75, 1 - 2**-53):
        assert pick(shares, torch.tensor([value], dtype=torch.float64)).item() in (1, 3)


def test_the_example_of_the_docstring() -> None:
    kept = keep_likeliest(torch.tensor([[0.5, 0.3, 0.2]]), torch.tensor([[9]]), torch.tensor([[0.6]]))
    torch.testing.assert_close(kept, torch.tensor([[0.5, 0.3, 0.0]]))
