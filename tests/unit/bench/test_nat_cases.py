"""What the NAT bench is asked for is checked before anything is measured."""

import pytest

from waggle.bench.swarm.nat import run_nat_bench
from waggle.core.errors import UsageError


def test_fewer_than_one_run_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        run_nat_bench(0, 0)


def test_an_unknown_pair_of_nats_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(UsageError, match="no case 'two'; choose from: both cone, one symmetric"):
        run_nat_bench(0, 1, cases=["one symmetric", "two"])
