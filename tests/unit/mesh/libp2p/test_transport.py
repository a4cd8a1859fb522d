"""The contract that every transport keeps, kept over real libp2p on loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

import pytest
import pytest_asyncio

from tests.unit.mesh.libp2p.conftest import QUIC, TCP, StartNode
from waggle.mesh.libp2p.settings import LOOPBACK
from waggle.testing.check_transport import SHARING_CHECKS, Check, run_check
from waggle.testing.transport_checks.links import ENDING_CHECKS
from waggle.testing.transport_checks.subject import Trio

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


async def start_trio(start_node: StartNode, listen: tuple[str, ...]) -> Trio:
    a, b, c = await asyncio.gather(start_node(listen), start_node(listen), start_node(listen))
    return a, b, c


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(start_node: StartNode) -> Trio:
    return await start_trio(start_node, LOOPBACK)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_quic(start_node: StartNode) -> Trio:
    return await start_trio(start_node, QUIC)


@pytest.mark.parametrize("check", SHARING_CHECKS, ids=lambda check: check.__name__)
async def test_libp2p_passes(check: Check, shared: Trio) -> None:
    await run_check(check, lambda: nullcontext(shared))


@pytest.mark.slow
@pytest.mark.parametrize("check", SHARING_CHECKS, ids=lambda check: check.__name__)
async def test_libp2p_passes_over_quic(check: Check, shared_quic: Trio) -> None:
    await run_check(check, lambda: nullcontext(shared_quic))


@pytest.mark.parametrize("check", ENDING_CHECKS, ids=lambda check: check.__name__)
async def test_libp2p_passes_with_fresh_nodes(check: Check, start_node: StartNode) -> None:
    @asynccontextmanager
    async def make() -> AsyncIterator[Trio]:
        trio = await start_trio(start_node, TCP)  # over QUIC the daemon takes 5 s to give up a peer that is gone
        yield trio
        await asyncio.gather(*(node.close() for node in trio))

    await run_check(check, make)
