"""The one source of chance in a round: a generator for every seed. Machines are handed it, since they hold none."""

import numpy as np

SEED_MASK = 2**128 - 1  # numpy refuses negative seeds


def draw(seed: int) -> np.random.Generator:
    """The generator that belongs to a seed, also a negative one."""
    return np.random.default_rng(seed & SEED_MASK)
