"""The simulated network keeps the contract of transports, under good and bad conditions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from waggle.core.ids import NodeId
from waggle.mesh.memory import Conditions, MemoryNetwork
from waggle.testing.check_transport import CHECKS, Check, MakeTrio, check_transport, run_check
from waggle.testing.clock import run_virtual
from waggle.testing.transport_checks.subject import Trio

PERFECT = Conditions()
ORDINARY = Conditions(delay=0.02, jitter=0.03, reordering=0.2)
LOSSLESS_AND_SLOW = Conditions(delay=0.1, bandwidth=20e6)


def nodes_under(conditions: Conditions) -> MakeTrio:
    @asynccontextmanager
    async def make() -> AsyncIterator[Trio]:
        network = MemoryNetwork(7, conditions)
        a, b, c = (network.join(NodeId(name)) for name in ("ann", "bob", "cat"))
        yield a, b, c
        for node in (a, b, c):
            await node.close()

    return make


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("conditions", [PERFECT, ORDINARY, LOSSLESS_AND_SLOW], ids=["perfect", "ordinary", "slow"])
def test_the_simulated_network_keeps_the_contract(check: Check, conditions: Conditions) -> None:
    run_virtual(run_check(check, nodes_under(conditions)))


def test_the_whole_suite_runs_on_it() -> None:
    run_virtual(check_transport(nodes_under(ORDINARY)))
